//! A client that comes back: its session is taken over from whichever gateway had it, and goes on here.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    ApiError, ErrorCode,
    realtime::{Resume, Resumed, ServerMessage},
};
use dalston_session_router::{Allocated, Claim, SessionRequest, Unavailable, link::Continuation};
use dalston_telemetry::{Label, TraceContext, key, names::event};
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument, info, warn};

use super::{
    kept::{self, Kept, number_of},
    pump::{Journey, Keeping, Served, pinned, warning, whole},
    record::Record,
    resumption::{Holding, hash},
    session::{Begun, going_down, nobody_answers},
    stranded::{self, Stranded},
};
use crate::{
    auth::{Principal, Seat},
    gateway::App,
};

/// Between two looks for a slot or a seat: the one that the session had comes back in a moment.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who comes back, and with what.
pub(super) struct Return {
    pub(super) caller: Principal,
    pub(super) wish: Resume,
    pub(super) notice: Option<Box<ServerMessage>>,
}

/// Takes the session over, if what the client says of it can be right. It is the caller's from then on, whatever becomes
/// of it: if there is no slot for it now, the client can come back once more, and what was to be kept of it is
/// ([`Stranded`]).
///
/// # Errors
/// There is no such session, or nothing free for it; or a parameter that cannot be right.
pub(super) async fn resume(app: &App, record: &mut Record, back: Return) -> Result<Begun, ApiError> {
    let Return { caller, wish, notice } = back;
    let (kept, holding) = take(app, record, &wish, &caller).await?;
    let Resume { token, received, last_final } = wish;
    let session = holding.session.clone();
    let from = kept.goes_on_at(received);
    let missing = kept.missing(from);
    let lasted = kept.begun.lasted();
    let info = kept.info().ok_or_else(gone)?;
    let missed = kept.finals_after(received, last_final.as_deref()).to_vec();
    let (rate, epoch) = (kept.bytes_per_second(), kept.epoch);
    let parent = kept.begun.trace();
    record.span.link(&parent);
    record.asked(&kept.begun.config);
    let request = SessionRequest {
        session_id: session.clone(),
        request_id: kept.begun.request_id.clone(),
        tenant: caller.tenant(),
        config: kept.begun.config.clone(),
    };
    let ending = kept.standing.ending.clone();
    let last_words = ending.as_ref().map(|ending| kept.last_words(&session, ending)).unwrap_or_default();

    let mut standing = kept.standing.clone();
    standing.progress.taken(epoch);
    standing.progress.acknowledged(from);
    if let Some(number) = last_final.as_deref().and_then(number_of) {
        standing.progress.skip_to(number);
    }
    let keeping = Keeping::resumed(
        holding,
        token.clone(),
        whole(&token, caller.tenant(), kept.begun_text.clone()),
        kept,
        from * rate,
    );
    let begin = ServerMessage::SessionBegin {
        session_id: session.clone(),
        request_id: request.request_id.clone(),
        trace_id: parent.trace_id().filter(|_| parent.is_sampled()),
        config: info,
        resume: Some(keeping.offer()),
        resumed: Some(Resumed { bytes: from * rate, finals: missed.len() }),
    };
    let mut told = vec![begin];
    told.extend(missed.iter().cloned().map(ServerMessage::Final));
    if let Some(ending) = ending {
        told.extend(last_words);
        return Ok(Begun::Over { told, ending, keeping: Box::new(keeping) });
    }
    if !missing.is_zero() {
        let message = format!(
            "{:.1} s of audio before {from} s have no answer and are not heard again: received says they were acknowledged",
            missing.as_secs_f64()
        );
        told.push(*warning("audio_gap", message));
    }
    let offer = pinned(&request, &standing.progress, &standing.settings);
    let since_saved = SystemTime::now().duration_since(standing.at).unwrap_or_default();
    let behind = standing.received.saturating_sub(from * rate) as f64 / rate as f64;
    let continues = standing.progress.continuation(from, Duration::from_secs_f64(behind) + since_saved, lasted);
    let placed = place(app, record, &caller, &offer, &continues, &parent).await;
    let (seat, found) = match placed {
        Ok(placed) => placed,
        Err(error) => {
            let continues = standing.progress.continuation(from.max(standing.received / rate), Duration::ZERO, lasted);
            let state = stranded::State { request: offer, continues, trace: parent };
            Stranded { keeping: Box::new(keeping), state }.awaits_client(app);
            return Err(error);
        }
    };
    record.opened(&found);
    app.metrics.sessions_resumed.inc();
    note(record, &found, epoch - 1, told.len() - 1, behind);
    let Allocated { channel, lease, worker_id, .. } = found;
    let journey = Journey::new(app, request, parent, worker_id).tells(missed.iter(), standing.received);
    let journey = journey.resumed(standing, from, lasted);
    let (journey, keeping) = (Some(Box::new(journey)), Some(Box::new(keeping)));
    Ok(Begun::Served { served: Box::new(Served { channel, notice, journey, keeping, told, lasted }), lease, seat })
}

/// From whoever has it, who is not disturbed by what cannot be right.
async fn take(app: &App, record: &mut Record, wish: &Resume, caller: &Principal) -> Result<(Kept, Holding), ApiError> {
    let resumption = &app.resumption;
    let token = &wish.token;
    let claim = Claim { session: token.session_id().clone(), secret: hash(token), tenant: caller.tenant() };
    let taking = async {
        let look = resumption.store.look(&claim).await.map_err(|error| not_now(&error))?.ok_or_else(gone)?;
        let (begun, standing) = kept::seen(&look).map_err(|error| of_another_version(&error))?;
        standing.could_have_told(&begun, wish)?;
        resumption.store.take(&claim, resumption.kept_for()).await.map_err(|error| not_now(&error))?.ok_or_else(gone)
    };
    let taken = record.span.around(taking).await?;
    record.session_id = claim.session.clone();
    let holding = resumption.hold(&claim.session, taken.epoch);
    let kept = Kept::read(taken).map_err(|error| of_another_version(&error))?;
    Ok((kept, holding))
}

fn not_now(unavailable: &Unavailable) -> ApiError {
    warn!(%unavailable, "a session could not be taken over");
    ApiError::new(ErrorCode::Unavailable, "sessions cannot be resumed just now; try again").retry_after(1.0)
}

fn of_another_version(error: &serde_json::Error) -> ApiError {
    warn!(%error, "a session was kept in a way that this version does not know");
    gone()
}

/// A seat of its key and a slot of a worker, for which the connection before may still have to let go of its own.
async fn place(
    app: &App,
    record: &Record,
    caller: &Principal,
    offer: &SessionRequest,
    continues: &Continuation,
    parent: &TraceContext,
) -> Result<(Seat, Allocated), ApiError> {
    let scope = dalston_telemetry::scope(offer.request_id.as_str(), Some(offer.session_id.as_str()));
    let is_taken = |error: &ApiError| matches!(error.code, ErrorCode::NoCapacity | ErrorCode::RateLimited);
    let search = patiently(app.config.stream.allocate_timeout, is_taken, || async {
        let seat = caller.begin_session()?;
        let found = app.router.find(offer, Some(continues.clone()), None, parent).await?;
        Ok((seat, found))
    });
    tokio::select! {
        found = record.span.around(search).instrument(scope) => found,
        () = app.draining.cancelled() => Err(going_down()),
    }
}

/// Tries until it succeeds, fails with an error that does not `pass`, or `patience` is over.
pub(super) async fn patiently<T, A: Future<Output = Result<T, ApiError>>>(
    patience: Duration,
    passes: impl Fn(&ApiError) -> bool,
    mut attempt: impl FnMut() -> A,
) -> Result<T, ApiError> {
    let began = Instant::now();
    let trying = async {
        let mut pause = PAUSE;
        loop {
            match attempt().await {
                Err(error) if passes(&error) && began.elapsed() + pause < patience => {
                    sleep(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    };
    timeout(patience, trying).await.unwrap_or_else(|_| Err(nobody_answers()))
}

fn note(record: &Record, found: &Allocated, times: u64, finals: usize, behind: f64) {
    let (session_id, request_id, worker) = (&record.session_id, &record.request_id, &found.worker_id);
    info!(%request_id, %session_id, worker_id = %worker, times, finals, behind, "a session was resumed");
    record.span.set(key::SESSION_RESUMES, times as i64);
    let attributes = [(key::WORKER_ID, Label::new(worker.as_str()).into()), (key::REPLAYED_SECONDS, behind.into())];
    record.span.event(event::SESSION_RESUMED, attributes);
}

/// The same whether there never was one, it has ended, its time is over, or it is somebody else's.
fn gone() -> ApiError {
    let message = "there is no session to resume with this token: it has ended, or waited too long; begin a new one";
    ApiError { param: Some("resume".into()), ..ApiError::new(ErrorCode::SessionGone, message) }
}
