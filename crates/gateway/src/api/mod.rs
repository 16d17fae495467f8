//! The HTTP side: one table of routes, each with who may use it.
//!
//! A route that is not in the table does not exist, and the table cannot leave out who may use a route: that is how
//! every route but the public ones wants a key. Errors leave as [`Failure`] and get their body, with the request's id,
//! in one place ([`observe`]).

mod access;
mod body;
mod capabilities;
mod docs;
mod failure;
mod jobs;
mod keys;
mod observe;
mod openapi;
mod probes;
mod sessions;
mod tokens;
mod traces;
mod webhooks;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    routing::{MethodRouter, get, post},
};
use dalston_protocol::{ApiError, ErrorCode, key::Scope, realtime::STREAM_PATH};

use self::access::Access;
pub(crate) use self::{
    access::caller,
    body::object,
    failure::Failure,
    observe::{header_text, traced},
};
use crate::{HttpLimits, gateway::App, stream};

/// One route, as shown on the start page and tried by tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// Methods, parted by `, `.
    pub method: &'static str,
    /// Template, as in `/v1/traces/{trace_id}`.
    pub path: &'static str,
    /// Whether it answers without a key.
    pub public: bool,
    /// What it gives.
    pub about: &'static str,
}

struct Route {
    info: RouteInfo,
    access: Access,
    handler: MethodRouter<App>,
    /// Whether its handler keeps a time of its own, as one that takes an upload must.
    keeps_time: bool,
}

/// Every route there is.
pub fn routes(limits: &HttpLimits) -> Vec<RouteInfo> {
    table(limits).into_iter().map(|route| route.info).collect()
}

fn table(limits: &HttpLimits) -> Vec<Route> {
    use Access::{AnyOf, Checked, Public};
    const READ: Access = AnyOf(&[Scope::Read]);
    /// What a caller made itself.
    const OWN: Access = AnyOf(&[Scope::Realtime]);
    let metrics = if limits.public_metrics { Public } else { READ };
    let mut table = vec![
        reads("/", Public, "this page", get(probes::start_page)),
        reads("/healthz", Public, "200 while the process lives", get(probes::healthz)),
        reads("/readyz", Public, "200 while sessions can be served, else 503", get(probes::readyz)),
        reads("/openapi.json", Public, "this API, described", get(openapi::document)),
        reads("/docs", Public, "the same, to be read", get(docs::page)),
        reads("/metrics", metrics, "OpenMetrics", get(probes::metrics)),
        reads(STREAM_PATH, Checked, "WebSocket: live transcription", get(stream::open)),
    ];
    table.extend(jobs::table());
    table.extend(webhooks::table());
    table.extend([
        reads("/v1/realtime/status", READ, "what is free", get(capabilities::status)),
        reads("/v1/realtime/workers", READ, "who serves", get(capabilities::workers)),
        reads("/v1/realtime/sessions", OWN, "your sessions that were kept", get(sessions::list)),
        route(
            "GET, DELETE",
            "/v1/realtime/sessions/{session_id}",
            OWN,
            "one of them, with its transcript",
            get(sessions::one).delete(sessions::delete),
        ),
        reads("/v1/realtime/sessions/{session_id}/audio", OWN, "its audio, as WAV", get(sessions::audio)),
        reads("/v1/models", READ, "what `model=` may be", get(capabilities::models)),
        reads("/v1/models/{id}", READ, "one of these", get(capabilities::model)),
        reads("/v1/engines", READ, "what each engine can do", get(capabilities::engines)),
        reads("/v1/traces", AnyOf(&[Scope::Admin]), "recent traces, with --trace-ring", get(traces::list)),
        // A trace id is as hard to guess as a key unless its caller chose it, and a session's or job's owner is told it.
        reads(
            "/v1/traces/{trace_id}",
            AnyOf(&[Scope::Realtime, Scope::Batch, Scope::Read]),
            "the spans of one trace",
            get(traces::one),
        ),
        route("POST", "/auth/tokens", OWN, "a token for one session, for browsers", post(tokens::issue)),
    ]);
    table.extend(keys::table());
    table
}

fn reads(path: &'static str, access: Access, about: &'static str, handler: MethodRouter<App>) -> Route {
    route("GET", path, access, about, handler)
}

fn route(
    method: &'static str,
    path: &'static str,
    access: Access,
    about: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    let public = matches!(access, Access::Public);
    Route { info: RouteInfo { method, path, public, about }, access, handler, keeps_time: false }
}

pub(crate) fn router(app: &App) -> Router {
    let limits = &app.config.http;
    let mut router = Router::new();
    for Route { info, access, handler, keeps_time } in table(limits) {
        let handler = match keeps_time {
            true => handler,
            false => handler.layer(from_fn_with_state(limits.request_timeout, observe::in_time)),
        };
        // Around the whole handler, its 405 included: who may not use a route is not told what it can do.
        let handler = handler.layer(from_fn_with_state((app.clone(), access), access::check));
        router = router.route(info.path, handler);
    }
    router
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(limits.max_body))
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .with_state(app.clone())
}

async fn nothing_here() -> Failure {
    Failure(ApiError::new(ErrorCode::NotFound, "there is no such route; GET / lists what there is"))
}
