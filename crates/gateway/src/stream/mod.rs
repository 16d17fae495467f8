//! Live sessions: `GET /v1/audio/transcriptions/stream`.
//!
//! Whatever a client asks, the WebSocket is accepted first: a browser shows its page no body of a failed handshake, but
//! it does show an `error` event and a close code. Only what is no WebSocket at all is answered in HTTP.

mod clock;
pub mod echo;
mod held;
mod kept;
mod outbox;
mod pump;
mod record;
mod resume;
mod resumption;
mod ring;
mod session;
mod stranded;
mod upgrade;
mod verdict;

use axum::{
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, RequestId, realtime::STREAM_PATH};

pub(crate) use self::resumption::Resumption;
use self::{session::Opening, upgrade::Upgrade};
use crate::{
    api::{self, Failure},
    gateway::App,
    server::MayOpenSession,
};

/// Upgrades the connection and leaves it to a task of its own.
pub(crate) async fn open(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
    let caller = api::caller(&app, &parts.headers, &query);
    let upgrade = match Upgrade::from_request(&mut parts) {
        Ok(upgrade) => upgrade,
        // Who has no key learns nothing else.
        Err(error) => return Failure(caller.err().unwrap_or(error)).into_response(),
    };
    if !parts.extensions.get::<MayOpenSession>().is_none_or(|may| may.0) {
        let error = ApiError::new(ErrorCode::NoCapacity, "too many connections are open").retry_after(1.0);
        return Failure(error).into_response();
    }
    let request_id = parts.extensions.remove::<RequestId>().unwrap_or_else(RequestId::generate);
    let in_query = || query.iter().find(|(name, _)| name == "traceparent").map(|(_, value)| value.as_str());
    let traceparent = api::header_text(&parts.headers, "traceparent").or_else(in_query);
    let span = app.tracers.websocket(STREAM_PATH, traceparent);

    let (response, upgrading) = upgrade.accept();
    let response = api::traced(response, &span.context());
    let opening = Opening::new(&app, span, request_id, caller, &query);
    app.sessions.spawn(session::run(app.clone(), upgrading, opening));
    response
}
