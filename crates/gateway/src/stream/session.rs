//! One session from handshake to record.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use dalston_protocol::{
    ApiError, ErrorCode, RequestId,
    key::Scope,
    realtime::{Attachment, ParsedQuery, ServerMessage, SessionConfig, parse_query},
};
use dalston_session_router::{Allocated, Epoch, LeaseGuard, SessionRequest};
use dalston_telemetry::{Span, TraceContext};
use tokio::time::timeout;
use tracing::Instrument;

use super::{
    kept::{self, Ending},
    pump::{Journey, Keeping, Pump, Served, Tally, whole},
    record::Record,
    resume::{Return, resume},
    resumption::new_token,
    upgrade::{Socket, Upgrading},
    verdict::Verdict,
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
    /// The token that it came with, which goes back if no session comes of it.
    ticket: Option<Ticket>,
    session: WantedSession,
}

enum WantedSession {
    New(Box<New>),
    /// One that began on another connection.
    Old(Box<Return>),
}

struct New {
    seat: Seat,
    tenant: Arc<str>,
    config: SessionConfig,
    is_resumable: bool,
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
        if let Ok(Wanted { session: WantedSession::New(new), .. }) = &wanted {
            record.asked(&new.config);
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
    let ParsedQuery { config, attachment, unknown } = parse_query(pairs)?;
    let notice = warn_of(&unknown);
    let is_resumable = match attachment {
        Attachment::Resume(wish) => {
            // Its settings are those that it began with, and its seat may be one that is to be given back first.
            let ticket = app.auth.take_token(caller)?;
            let back = Return { caller: caller.clone(), wish: *wish, notice };
            return Ok(Wanted { ticket, session: WantedSession::Old(Box::new(back)) });
        }
        Attachment::Begin => false,
        Attachment::BeginResumable => true,
    };
    let seat = caller.begin_session()?;
    let ticket = app.auth.take_token(caller)?;
    let new = New { seat, tenant: caller.tenant(), config, is_resumable, notice };
    Ok(Wanted { ticket, session: WantedSession::New(Box::new(new)) })
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
    let Opening { mut record, wanted } = *opening;
    let socket = tokio::select! {
        socket = upgrading.socket(&app.config.stream) => socket,
        () = app.cut.cancelled() => None,
    };
    let Some(socket) = socket else { return record.end_unheard() };
    let begun = match wanted {
        Ok(Wanted { ticket, session }) => {
            let begun = match session {
                WantedSession::New(new) => Box::pin(begin(&app, &mut record, *new)).await,
                WantedSession::Old(back) => Box::pin(resume(&app, &mut record, *back)).await,
            };
            if begun.is_ok() {
                ticket.into_iter().for_each(Ticket::use_up);
            }
            begun
        }
        Err(error) => Err(error),
    };
    let (verdict, tally) = match begun {
        Ok(Begun::Served { served, lease, seat }) => {
            let mut pump = Pump::new(&app, socket, *served);
            pump.run(lease, seat, &app, &record.span).await
        }
        // Boxed: few sessions are like this, and the others need no room for two pumps more.
        Ok(Begun::Over { told, ending, keeping }) => Box::pin(tell(&app, socket, told, ending, keeping)).await,
        Err(error) => Box::pin(refuse(&app, socket, error)).await,
    };
    record.end(verdict, tally);
}

/// Tells the client of a session that ended while it was gone.
async fn tell(
    app: &App,
    socket: Socket,
    told: Vec<ServerMessage>,
    ending: Ending,
    keeping: Box<Keeping>,
) -> (Verdict, Tally) {
    let mut pump = Pump::telling(app, socket, told, (ending.code, ending.reason.as_str()));
    let ended = pump.part(app).await;
    // Else it can ask once more.
    if pump.is_heard() {
        keeping.conclude(None, true).await;
    }
    ended
}

/// Tells the client why there is no session.
async fn refuse(app: &App, socket: Socket, error: ApiError) -> (Verdict, Tally) {
    Pump::refusing(app, socket, &error).part(app).await
}

/// A session that can be told of.
pub(super) enum Begun {
    /// It has its worker.
    Served { served: Box<Served>, lease: LeaseGuard, seat: Seat },
    /// It ended while its client was gone.
    Over { told: Vec<ServerMessage>, ending: Ending, keeping: Box<Keeping> },
}

/// Finds a worker, under the session's span.
async fn begin(app: &App, record: &mut Record, wanted: New) -> Result<Begun, ApiError> {
    let New { seat, tenant, config, is_resumable, notice } = wanted;
    let (session_id, request_id) = (record.session_id.clone(), record.request_id.clone());
    let scope = dalston_telemetry::scope(request_id.as_str(), Some(session_id.as_str()));
    let parent = record.span.context();
    let request = SessionRequest { session_id, request_id, tenant, config };
    let allocation = record.span.around(app.router.find(&request, None, None, &parent)).instrument(scope);
    let allocated = tokio::select! {
        found = timeout(app.config.stream.allocate_timeout, allocation) => found.unwrap_or_else(|_| Err(nobody_answers()))?,
        () = app.draining.cancelled() => return Err(going_down()),
    };
    record.opened(&allocated);
    let Allocated { channel, lease, worker_id, is_elsewhere, .. } = allocated;
    let keeping = is_resumable.then(|| Box::new(keep(app, &request, &parent)));
    let journey = (is_elsewhere || is_resumable).then(|| Box::new(Journey::new(app, request, parent, worker_id)));
    let served = Served { channel, notice, journey, keeping, told: Vec::new(), lasted: Duration::ZERO };
    Ok(Begun::Served { served: Box::new(served), lease, seat })
}

/// From the first moment on.
fn keep(app: &App, request: &SessionRequest, trace: &TraceContext) -> Keeping {
    let token = new_token(&request.session_id);
    let begun = kept::Begun {
        request_id: request.request_id.clone(),
        config: request.config.clone(),
        trace: trace.to_traceparent(),
        at: SystemTime::now(),
    };
    let begun = serde_json::to_string(&begun).expect("it has a JSON form");
    let holding = app.resumption.hold(&request.session_id, Epoch::first());
    let whole = whole(&token, request.tenant.clone(), begun);
    Keeping::new(holding, token, whole)
}

pub(super) fn going_down() -> ApiError {
    ApiError::new(ErrorCode::Draining, "the server is going down; connect again").retry_after(1.0)
}

pub(super) fn nobody_answers() -> ApiError {
    ApiError::new(ErrorCode::NoCapacity, "no worker answered in time; retry_after=1").retry_after(1.0)
}
