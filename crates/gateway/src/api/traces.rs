//! Recent traces out of memory, so that a session can be seen without a collector.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use dalston_protocol::{ApiError, ErrorCode};
use dalston_telemetry::TraceRing;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use crate::gateway::App;

/// Most traces in one answer.
const MOST: usize = 500;

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    limit: Option<String>,
}

pub(super) async fn list(State(app): State<App>, Query(page): Query<Page>) -> Result<Json<Value>, Failure> {
    let limit = match page.limit.as_deref() {
        None => 50,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| Failure(ApiError::param("limit", format!("limit must be a number from 1 to {MOST}"))))?,
    };
    Ok(Json(json!({ "traces": ring(&app)?.recent(limit) })))
}

pub(super) async fn one(State(app): State<App>, Path(trace_id): Path<String>) -> Result<Json<Value>, Failure> {
    let spans = ring(&app)?.get(&trace_id).ok_or_else(|| {
        let message = "no span of this trace is here: none has ended yet, it was not sampled, or it is too long ago";
        Failure(ApiError::new(ErrorCode::NotFound, message))
    })?;
    Ok(Json(json!({ "trace_id": trace_id, "spans": spans })))
}

fn ring(app: &App) -> Result<&TraceRing, Failure> {
    app.tracers.ring().ok_or_else(|| {
        let message = "traces are not kept here; start the server with --trace-ring, or look into your collector";
        Failure(ApiError::new(ErrorCode::NotFound, message))
    })
}
