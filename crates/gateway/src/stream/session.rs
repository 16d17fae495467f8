//! One session from handshake to record.

use std::sync::Arc;

use dalston_protocol::{
    ApiError, ErrorCode, RequestId,
    key::Scope,
    realtime::{ParsedQuery, ServerMessage, SessionConfig, parse_query},
};
use dalston_session_router::{Allocated, LeaseGuard, SessionRequest, link::SessionChannel};
use dalston_telemetry::Span;
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    pump::{Journey, Pump},
    record::Record,
    upgrade::Upgrading,
};
use crate::{
    auth::{Principal, Seat, Ticket},
    gateway::App,
};

/// Names of unknown parameters in one warning.
const MAX_UNKNOWN: usize = 8;

/// A session that wants to begin: refused already, or ready to look for a worker.
pub(super) struct Opening {
    record: Record,
    wanted: Result<Wanted, ApiError>,
}

struct Wanted {
    seat: Seat,
    /// The token that it came with, which goes back if no session comes of it.
    ticket: Option<Ticket>,
    tenant: Arc<str>,
    config: SessionConfig,
    notice: Option<Box<ServerMessage>>,
}

impl Opening {
    pub(super) fn new(
        app: &App,
        span: Span,
        request_id: RequestId,
        caller: Result<Principal, ApiError>,
        query: &[(String, String)],
    ) -> Box<Self> {
        let mut record = Record::new(span, request_id, app.metrics.clone());
        record.tenant = caller.as_ref().ok().map(Principal::tenant);
        let wanted = caller.and_then(|caller| want(app, &caller, query));
        if let Ok(wanted) = &wanted {
            record.asked(&wanted.config);
        }
        // Its strings are gone when the session has begun; the task need not have room for them.
        Box::new(Self { record, wanted })
    }
}

/// In this order: who it is, whether we are open, what it wants, how much it has.
fn want(app: &App, caller: &Principal, query: &[(String, String)]) -> Result<Wanted, ApiError> {
    caller.require(Scope::Realtime)?;
    if app.draining.is_cancelled() {
        return Err(going_down());
    }
    let pairs = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let ParsedQuery { config, unknown } = parse_query(pairs)?;
    let seat = caller.begin_session()?;
    let ticket = app.auth.take_token(caller)?;
    Ok(Wanted { seat, ticket, tenant: caller.tenant(), config, notice: warn_of(&unknown) })
}

fn warn_of(unknown: &[String]) -> Option<Box<ServerMessage>> {
    if unknown.is_empty() {
        return None;
    }
    let names = unknown[..unknown.len().min(MAX_UNKNOWN)].join(", ");
    Some(Box::new(ServerMessage::Warning {
        code: "unknown_parameter".into(),
        message: format!("not known and without effect: {names}"),
        lag_seconds: None,
        warning_threshold_seconds: None,
        hard_threshold_seconds: None,
    }))
}

/// The session's task.
pub(super) async fn run(app: App, upgrading: Upgrading, opening: Box<Opening>) {
    let limits = &app.config.stream;
    let Opening { mut record, wanted } = *opening;
    let socket = tokio::select! {
        socket = upgrading.socket(limits) => socket,
        () = app.cut.cancelled() => None,
    };
    let Some(socket) = socket else { return record.end_unheard() };
    let begun = match wanted {
        Ok(wanted) => Box::pin(begin(&app, &mut record, wanted)).await,
        Err(error) => Err(error),
    };
    let (verdict, tally) = match begun {
        Ok(Begun { channel, lease, notice, seat, journey }) => {
            let mut pump = Pump::new(limits, &app.metrics, socket, channel, notice, journey);
            pump.run(lease, seat, &app, &record.span).await
        }
        Err(error) => Pump::refusing(limits, &app.metrics, socket, &error).part(&app).await,
    };
    record.end(verdict, tally);
}

/// A session that has its worker.
struct Begun {
    channel: SessionChannel,
    lease: LeaseGuard,
    notice: Option<Box<ServerMessage>>,
    seat: Seat,
    journey: Option<Box<Journey>>,
}

/// Finds a worker, under the session's span.
async fn begin(app: &App, record: &mut Record, wanted: Wanted) -> Result<Begun, ApiError> {
    let Wanted { seat, ticket, tenant, config, notice } = wanted;
    let (session_id, request_id) = (record.session_id.clone(), record.request_id.clone());
    let scope = dalston_telemetry::scope(request_id.as_str(), Some(session_id.as_str()));
    let parent = record.span.context();
    let request = SessionRequest { session_id, request_id, tenant, config };
    let allocation = record.span.around(app.router.find(&request, None, &parent)).instrument(scope);
    let allocated = tokio::select! {
        found = timeout(app.config.stream.allocate_timeout, allocation) => found.unwrap_or_else(|_| Err(nobody_answers()))?,
        () = app.draining.cancelled() => return Err(going_down()),
    };
    ticket.into_iter().for_each(Ticket::use_up);
    record.opened(&allocated);
    let Allocated { channel, lease, worker_id, is_elsewhere, .. } = allocated;
    let journey = is_elsewhere.then(|| Box::new(Journey::new(app, request, parent, worker_id)));
    Ok(Begun { channel, lease, notice, seat, journey })
}

fn going_down() -> ApiError {
    ApiError::new(ErrorCode::Draining, "the server is going down; connect again").retry_after(1.0)
}

fn nobody_answers() -> ApiError {
    ApiError::new(ErrorCode::NoCapacity, "no worker answered in time; retry_after=1").retry_after(1.0)
}
