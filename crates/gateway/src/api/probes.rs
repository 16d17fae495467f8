//! Does it live, is it ready, how does it do.

use std::fmt::Write;

use axum::{Json, extract::State, response::IntoResponse};
use dalston_protocol::{ApiError, ErrorCode};
use dalston_session_router::Health;
use dalston_telemetry::Metrics;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::{Failure, RouteInfo, routes};
use crate::gateway::App;

/// Depends on nothing: a process that answers lives.
pub(super) async fn healthz() -> impl IntoResponse {
    Json(json!({ "status": "ok" }))
}

/// Whether a session would be served: not draining, and a worker is there. A full worker is ready: its sessions will
/// end.
pub(super) async fn readyz(State(app): State<App>) -> Result<impl IntoResponse, Failure> {
    if app.draining.is_cancelled() {
        return Err(Failure(ApiError::new(ErrorCode::Draining, "the server is going down")));
    }
    let not_ready = |message: &str| Failure(ApiError::new(ErrorCode::NoCapacity, message).retry_after(1.0));
    let workers = app.router.workers().await.map_err(|_| not_ready("workers cannot be looked up"))?;
    match workers.iter().filter(|worker| worker.health == Health::Ready).count() {
        0 => Err(not_ready("no worker is ready")),
        ready => Ok(Json(json!({ "status": "ready", "workers": ready }))),
    }
}

pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], app.metrics.encode())
}

pub(super) async fn start_page(State(app): State<App>) -> impl IntoResponse {
    let mut page = format!("Dalston {}: speech to text\n\n", env!("CARGO_PKG_VERSION"));
    let routes = routes(&app.config.http);
    let widest = |of: fn(&RouteInfo) -> usize| routes.iter().map(of).max().unwrap_or_default();
    let (methods, paths) = (widest(|route| route.method.len()), widest(|route| route.path.len()));
    for RouteInfo { method, path, public, about } in &routes {
        let key = if *public { "" } else { " *" };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{method:<methods$}  {path:<paths$}  {about}{key}");
    }
    page.push_str("\n* needs a key, where keys are on\n");
    page
}
