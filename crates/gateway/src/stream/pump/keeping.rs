//! Writes down how far a session has come, for the day that its client or its gateway is lost.
//!
//! * A final is told to the client only when it is written down. So what the client has, the next gateway has. A
//!   store that does
//!   not answer holds nothing up for longer than [`PATIENCE`].
//! * Audio is acknowledged only when it is written down that it is answered for, and after the finals of it.
//! * One call is under way at a time: after each final, and once a second to say that the session goes on.
//! * Whoever is told that the session was taken over has it no longer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use dalston_protocol::{
    ErrorCode,
    realtime::{ResumeOffer, ResumeToken, ServerMessage},
};
use dalston_session_router::{Save, Saved, Unavailable, Whole};
use dalston_telemetry::SessionOutcome;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Journey, finals::Finals};
use crate::stream::{
    kept::{Ending, Kept, Standing},
    resumption::{Holding, hash},
    verdict::Verdict,
};

/// Between two saves of a session in which nothing is said, and before one that failed is tried again.
const EVERY: Duration = Duration::from_secs(1);
/// For a final to be written down before it is told.
const PATIENCE: Duration = Duration::from_millis(500);
/// Whoever lost a session that was taken over may find out as late as this that it is over.
const TAKEN_IS_TOLD: Duration = Duration::from_secs(600);
/// For the last save of a session.
const LAST: Duration = Duration::from_secs(1);

/// A session that its client may resume.
pub(in crate::stream) struct Keeping {
    holding: Holding,
    token: ResumeToken,
    whole: Whole,
    finals: Finals,
    calls: Calls,
    /// What the client is told when it is written down.
    held: Option<Held>,
    /// Bytes of audio that are answered for: what is written down of it, and what the client was told.
    safe: u64,
    acknowledged: u64,
    /// The last that is known of it.
    standing: Option<Standing>,
    ending: Ending,
    /// The gateway goes down: another one may go on with it later.
    stays: bool,
}

struct Calls {
    /// Whether the store has the session at all.
    is_known: bool,
    under_way: Option<Call>,
    begun: u64,
    /// The last one that succeeded.
    succeeded: u64,
    /// The last one failed: nothing is tried before it is due.
    has_failed: bool,
    due: Pin<Box<Sleep>>,
    taken: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Call {
    answer: BoxFuture<'static, Result<Saved, Unavailable>>,
    finals: u64,
    safe: u64,
    is_whole: bool,
}

struct Held {
    event: Box<ServerMessage>,
    /// The first call that covers it.
    call: u64,
    patience: Pin<Box<Sleep>>,
}

/// What comes of it.
pub(super) enum Step {
    /// The client may be told.
    Tell(Box<ServerMessage>),
    /// So many bytes of audio need not be heard again.
    Acknowledge(u64),
    /// Another connection has the session.
    TakenOver,
    /// There is no room for it: it ends with its connection.
    NotKept,
}

impl Keeping {
    /// Of a session that begins.
    pub(in crate::stream) fn new(holding: Holding, token: ResumeToken, whole: Whole) -> Self {
        let taken = Box::pin(holding.taken.clone().cancelled_owned());
        let due = Box::pin(sleep(Duration::ZERO));
        let calls = Calls { is_known: false, under_way: None, begun: 0, succeeded: 0, has_failed: false, due, taken };
        let finals = Finals::default();
        Self {
            holding,
            token,
            whole,
            finals,
            calls,
            held: None,
            safe: 0,
            acknowledged: 0,
            standing: None,
            ending: Ending::default(),
            stays: false,
        }
    }

    /// Of one that was taken over, and whose client sends its audio from byte `from` on.
    pub(in crate::stream) fn resumed(
        holding: Holding,
        token: ResumeToken,
        whole: Whole,
        kept: Kept,
        from: u64,
    ) -> Self {
        let mut keeping = Self::new(holding, token, whole);
        let Kept { dropped, finals_text, standing, .. } = kept;
        keeping.finals = Finals::written(dropped, finals_text);
        keeping.calls.is_known = true;
        (keeping.safe, keeping.acknowledged) = (from, from);
        keeping.standing = Some(standing);
        keeping
    }

    /// How the client comes back.
    pub(in crate::stream) fn offer(&self) -> ResumeOffer {
        let window_seconds = self.window().as_secs_f64();
        ResumeOffer { token: self.token.clone(), window_seconds }
    }

    pub(in crate::stream) fn window(&self) -> Duration {
        self.holding.all().window
    }

    pub(in crate::stream) fn outlives_process(&self) -> bool {
        self.holding.all().store.outlives_process()
    }

    /// Cancelled when another connection of this gateway has the session.
    pub(in crate::stream) fn taken_here(&self) -> CancellationToken {
        self.holding.taken.clone()
    }

    /// Whether another connection has the session, as far as the store says. Its time begins anew otherwise.
    pub(in crate::stream) async fn is_taken_over(&mut self) -> bool {
        let (store, save) = (self.holding.all().store.clone(), self.save(None));
        timeout(LAST, store.save(save)).await == Ok(Ok(Saved::TakenOver))
    }

    /// Takes note of what the worker says. Gives what the client may be told at once.
    pub(super) fn hears(&mut self, mut event: Box<ServerMessage>) -> Option<Box<ServerMessage>> {
        match &mut *event {
            ServerMessage::SessionBegin { resume, .. } => *resume = Some(self.offer()),
            ServerMessage::Final(said) => {
                self.finals.push(serde_json::to_string(said).expect("a final has a JSON form"));
                // Of a store that is away for so long nothing follows.
                self.calls.is_known &= self.finals.follows();
            }
            ServerMessage::SessionEnd(end) => {
                self.ending.totals = Some((end.total_audio_seconds, end.total_speech_duration));
                return Some(event);
            }
            ServerMessage::Error { code, message, recoverable: false, .. } => {
                self.ending.error = Some((*code, message.clone()));
                return Some(event);
            }
            _ => return Some(event),
        }
        debug_assert!(self.held.is_none(), "nothing is heard while something is held");
        self.held = Some(Held { event, call: self.calls.begun + 1, patience: Box::pin(sleep(PATIENCE)) });
        None
    }

    /// Whether what the worker says has to wait.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// What is held, whether it is written down or not.
    pub(super) fn let_go(&mut self) -> Option<Box<ServerMessage>> {
        self.held.take().map(|held| held.event)
    }

    /// How it is closed.
    pub(super) fn closes(&mut self, code: u16, reason: &str) {
        (self.ending.code, self.ending.reason) = (code, reason.to_owned());
    }

    /// The session has no worker any more.
    pub(super) fn stands(&mut self, standing: Standing) {
        self.standing = Some(standing);
    }

    /// Its client may come back to another gateway when this one has given it up.
    pub(in crate::stream) fn stays(&mut self) {
        self.stays = true;
    }

    /// Saves what is to be saved. `may_acknowledge`: there is room for it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, journey: &mut Journey, may_acknowledge: bool) -> Poll<Step> {
        loop {
            if self.calls.taken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Step::TakenOver);
            }
            if let Some(step) = self.poll_call(cx) {
                return Poll::Ready(step);
            }
            if let Some(held) = &mut self.held
                && (self.calls.succeeded >= held.call || held.patience.as_mut().poll(cx).is_ready())
            {
                return self.let_go().map_or(Poll::Pending, |event| Poll::Ready(Step::Tell(event)));
            }
            if may_acknowledge && self.safe > self.acknowledged && self.held.is_none() {
                self.acknowledged = self.safe;
                return Poll::Ready(Step::Acknowledge(self.safe));
            }
            let is_due = self.calls.due.as_mut().poll(cx).is_ready();
            if self.calls.under_way.is_some() || !(is_due || self.is_wanted()) {
                return Poll::Pending;
            }
            self.begin(journey);
        }
    }

    /// Whether something has to be saved now.
    fn is_wanted(&self) -> bool {
        let has_news = !self.finals.are_saved()
            || self.held.as_ref().is_some_and(|held| held.call > self.calls.begun)
            || !self.calls.is_known;
        has_news && !self.calls.has_failed
    }

    fn begin(&mut self, journey: &mut Journey) {
        let standing = journey.standing();
        let safe = journey.bytes(standing.progress.from());
        let save = self.save(Some(written(&standing)));
        self.standing = Some(standing);
        let (finals, is_whole) = (self.finals.count(), save.whole.is_some());
        let store = self.holding.all().store.clone();
        let answer = Box::pin(async move { store.save(save).await });
        self.calls.begun += 1;
        self.calls.has_failed = false;
        self.calls.due.as_mut().reset(Instant::now() + EVERY);
        self.calls.under_way = Some(Call { answer, finals, safe, is_whole });
    }

    fn save(&self, state: Option<String>) -> Save {
        let is_known = self.calls.is_known;
        let whole = (!is_known).then(|| self.whole.clone());
        let state = state.or_else(|| self.standing.as_ref().filter(|_| !is_known).map(written));
        let (after, finals) = if is_known { self.finals.unsaved() } else { self.finals.all() };
        Save {
            session: self.holding.session.clone(),
            epoch: self.holding.epoch,
            after,
            whole,
            state,
            finals,
            ttl: self.holding.all().kept_for(),
        }
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Option<Step> {
        let Poll::Ready(answer) = self.calls.under_way.as_mut()?.answer.as_mut().poll(cx) else { return None };
        let Call { finals, safe, is_whole, .. } = self.calls.under_way.take()?;
        match answer {
            Ok(Saved::Kept) => {
                self.calls.is_known = true;
                self.calls.succeeded = self.calls.begun;
                self.finals.saved(finals);
                self.safe = self.safe.max(safe);
            }
            Ok(Saved::TakenOver) => return Some(Step::TakenOver),
            Ok(Saved::Full) => return Some(Step::NotKept),
            // To be told everything, at once.
            Ok(Saved::Forgotten) if !is_whole => self.calls.is_known = false,
            // What was written may be there all the same, and then the next one does not follow it.
            Ok(Saved::Forgotten) | Err(_) => self.calls.has_failed = true,
        }
        None
    }

    /// The session has ended, or this gateway's part in it. `is_heard`: the client knows, or has had its time to ask.
    pub(in crate::stream) async fn conclude(mut self: Box<Self>, verdict: Option<Verdict>, is_heard: bool) {
        self.settle().await;
        if verdict.is_some_and(|verdict| verdict.outcome == SessionOutcome::WorkerLost) {
            // It can go on when there is a worker again.
            return;
        }
        if is_heard {
            return self.forget().await;
        }
        if self.ending.code == 0 {
            self.ending.code = verdict.map_or(ErrorCode::Internal.close_code().as_u16(), |verdict| verdict.code);
        }
        let ending = std::mem::take(&mut self.ending);
        self.save_last(Some(ending)).await;
    }

    /// The client did not come back to this gateway.
    pub(in crate::stream) async fn give_up(mut self: Box<Self>) {
        self.settle().await;
        if self.stays { self.save_last(None).await } else { self.forget().await }
    }

    /// Awaits the call that is under way: it would come in between.
    async fn settle(&mut self) {
        if let Some(call) = self.calls.under_way.take()
            && let Ok(answer) = timeout(LAST, call.answer).await
            && answer == Ok(Saved::Kept)
        {
            self.calls.is_known = true;
            self.finals.saved(call.finals);
        }
    }

    async fn forget(&mut self) {
        let Holding { session, epoch, .. } = &self.holding;
        let kept_for = self.holding.all().kept_for();
        let told_for = if epoch.number > 1 { kept_for.max(TAKEN_IS_TOLD) } else { kept_for };
        let _ = timeout(LAST, self.holding.all().store.forget(session, *epoch, told_for)).await;
    }

    async fn save_last(&mut self, ending: Option<Ending>) {
        let Some(mut standing) = self.standing.take() else { return };
        standing.ending = ending;
        let (store, state) = (self.holding.all().store.clone(), written(&standing));
        for _ in 0..2 {
            match timeout(LAST, store.save(self.save(Some(state.clone())))).await {
                Ok(Ok(Saved::Forgotten)) => self.calls.is_known = false,
                _ => return,
            }
        }
    }
}

fn written(standing: &Standing) -> String {
    serde_json::to_string(standing).expect("it has a JSON form")
}

/// What never changes of a session, with what its client proves itself with.
pub(in crate::stream) fn whole(token: &ResumeToken, tenant: Arc<str>, begun: String) -> Whole {
    Whole { secret: hash(token), tenant, begun }
}
