//! What a session needs to go on at another worker: who it is, how far it has come, and what was not answered for.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use dalston_protocol::{
    ApiError, ErrorCode, WorkerId,
    realtime::{ClientMessage, ConfigUpdate, FinalCause, ServerMessage, SessionConfig, TranscriptFinal},
};
use dalston_session_router::{
    Allocated, SessionRequest,
    link::{FromWorker, Progress},
};
use dalston_telemetry::TraceContext;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::Instrument;

use crate::{
    gateway::App,
    stream::{
        kept::Standing,
        ring::{Entry, Ring},
    },
};

/// Audio kept beside the longest utterance: what the worker may be behind before its session ends for that, what is under way,
/// and what comes while another one is found.
const BESIDE_UTTERANCE: f64 = 30.0;
/// Workers that a session may lose without getting any further: then it is the session that kills them.
const MOST_LOSSES: u32 = 3;
/// Moves of one session.
const MOST_MOVES: u32 = 64;
/// Between two looks for another worker, doubling.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A session whose worker is of another process, or that its client may resume.
pub(in crate::stream) struct Journey {
    app: App,
    pub(super) request: SessionRequest,
    trace: TraceContext,
    began: Instant,
    pub(super) worker: WorkerId,
    pub(super) progress: Progress,
    pub(super) ring: Ring,
    /// More was kept than one worker has taken so far, so that it is read on while that one catches up.
    pub(super) is_replaying: bool,
    pub(super) search: Option<Search>,
    settings: Settings,
    losses: u32,
    settled_at_loss: Duration,
    /// Moves before it came to this gateway.
    moved_before: u32,
    answered: Answered,
}

/// Flushes that were answered while the client was gone. It did not know that when it sent them again.
#[derive(Debug, Default)]
struct Answered {
    ids: Vec<String>,
    /// Bytes of audio that had come by then: what comes later is asked anew.
    until: u64,
}

/// A look for another worker.
pub(super) struct Search {
    pub(super) why: &'static str,
    /// The last one still serves the session, so there is no hurry. While somebody is asked, nothing of it is heard: what it
    /// says after the session was offered would be said twice.
    pub(super) is_served: bool,
    pub(super) since: Instant,
    pub(super) from: u64,
    /// Audio that nobody has any more.
    pub(super) missing: Duration,
    pause: Duration,
    step: Step,
}

enum Step {
    Asking(BoxFuture<'static, Result<Box<Allocated>, ApiError>>),
    Pausing(Pin<Box<Sleep>>),
}

impl Journey {
    pub(in crate::stream) fn new(app: &App, request: SessionRequest, trace: TraceContext, worker: WorkerId) -> Self {
        let config = &request.config;
        Self {
            app: app.clone(),
            trace,
            began: Instant::now(),
            worker,
            progress: Progress::new(config),
            ring: Ring::new(config.bytes_per_second(), seconds_kept(config)),
            is_replaying: false,
            search: None,
            settings: Settings::default(),
            losses: 0,
            settled_at_loss: Duration::ZERO,
            moved_before: 0,
            answered: Answered::default(),
            request,
        }
    }

    /// Of a session that was taken over as it stands, and whose client sends its audio from second `from` on.
    pub(in crate::stream) fn resumed(self, standing: Standing, from: u64, lasted: Duration) -> Self {
        let (mut progress, rate) = (standing.progress, self.request.config.bytes_per_second());
        progress.moved();
        let settings = Settings(standing.settings);
        let longest = settings.0.max_utterance_s.unwrap_or(self.request.config.endpointing.max_utterance_s);
        Self {
            began: self.began.checked_sub(lasted).unwrap_or(self.began),
            moved_before: progress.moves(),
            ring: Ring::starting_at(from, rate, longest.max(0.0) + BESIDE_UTTERANCE),
            progress,
            settings,
            ..self
        }
    }

    /// These finals come to a client that did not know of them.
    pub(in crate::stream) fn tells<'a>(
        mut self,
        missed: impl Iterator<Item = &'a TranscriptFinal>,
        received: u64,
    ) -> Self {
        let flushes = missed.filter(|said| said.cause == FinalCause::Flush);
        self.answered = Answered { ids: flushes.filter_map(|said| said.id.clone()).collect(), until: received };
        self
    }

    /// Whether this message of the client's has its answer. Then it has no second one.
    pub(super) fn has_answered(&mut self, message: &ClientMessage) -> bool {
        let Answered { ids, until } = &mut self.answered;
        let ClientMessage::Flush { id: Some(id) } = message else { return false };
        if self.ring.received() > *until {
            ids.clear();
        }
        let Some(found) = ids.iter().position(|answered| answered == id) else { return false };
        ids.remove(found);
        true
    }

    /// Where the session stands, to be written down.
    pub(super) fn standing(&mut self) -> Standing {
        // What another worker is offered stays as it was when it was asked. As nobody is heard meanwhile, that is also
        // where the session stands.
        if !self.is_asking() {
            self.forget_before(self.progress.from());
        }
        Standing {
            progress: self.progress.without_finals(),
            settings: self.settings.0.clone(),
            received: self.ring.received(),
            at: SystemTime::now(),
            ending: None,
        }
    }

    /// Seconds of the session's clock in bytes.
    pub(super) fn bytes(&self, seconds: u64) -> u64 {
        seconds * self.request.config.bytes_per_second() as u64
    }

    /// Takes what the client sent.
    pub(super) fn take(&mut self, entry: Entry) {
        if let Entry::Message(message) = &entry
            && let ClientMessage::Config(update) = &**message
            && let Some(longest) = update.max_utterance_s.filter(|longest| (0.0..=60.0).contains(longest))
        {
            self.ring.keep(longest + BESIDE_UTTERANCE);
        }
        self.ring.push(entry);
        // While another worker is asked, what it was offered must stay.
        if self.search.is_none() {
            let Self { ring, settings, .. } = self;
            ring.trim(|message| settings.fold(message));
        }
    }

    /// Counts what the worker said. `false`: the client knows it.
    pub(super) fn hears(&mut self, said: &FromWorker) -> bool {
        if !self.progress.counts(said) {
            return false;
        }
        if let FromWorker::Event(event) = said {
            match &**event {
                ServerMessage::Final(said) if said.cause == FinalCause::Flush => self.ring.answered(said.id.as_deref()),
                ServerMessage::Flushed { id } => self.ring.answered(id.as_deref()),
                _ => {}
            }
        }
        if matches!(said, FromWorker::Settled(_)) {
            self.forget_before(self.progress.from());
        }
        true
    }

    /// No worker will hear what stands before this second; what the client changed there is noted.
    fn forget_before(&mut self, second: u64) {
        let Self { ring, settings, .. } = self;
        ring.forget_before(second, |message| settings.fold(message));
    }

    /// Whether the client is not to be read: the worker has no room, or the ring has none while no worker keeps up with it.
    pub(super) fn holds_back(&self, has_worker: bool, worker_is_full: bool) -> bool {
        let keeps_up = has_worker && self.search.is_none() && !self.is_replaying;
        if keeps_up { worker_is_full || self.ring.waits() } else { !self.ring.has_room() }
    }

    /// Counts the loss of a worker. `None` when no other one is to be tried.
    pub(super) fn counts_loss(&mut self) -> Option<&mut Self> {
        let settled = self.progress.settled();
        self.losses = if settled > self.settled_at_loss { 1 } else { self.losses + 1 };
        self.settled_at_loss = settled;
        (self.losses <= MOST_LOSSES && self.progress.moves() - self.moved_before < MOST_MOVES).then_some(self)
    }

    /// Looks for another worker.
    pub(super) fn look(&mut self, why: &'static str, is_served: bool) {
        let (pause, from, missing) = (PAUSE, 0, Duration::ZERO);
        // The worker that still serves has just said so itself, and is drained in the registry.
        let step = self.ask(!is_served);
        self.search = Some(Search { why, is_served, since: Instant::now(), from, missing, pause, step });
        self.begin_at_settled();
    }

    fn begin_at_settled(&mut self) {
        let (wanted, kept) = (self.progress.from(), self.ring.first_second());
        if let Some(search) = &mut self.search {
            search.from = wanted.max(kept);
            search.missing = self.progress.unanswered_before(kept);
        }
    }

    fn ask(&mut self, is_dead: bool) -> Step {
        let from = self.progress.from().max(self.ring.first_second());
        self.forget_before(from);
        let request = pinned(&self.request, &self.progress, &self.settings.0);
        let replayed = Duration::try_from_secs_f64(self.ring.seconds()).unwrap_or_default();
        let continues = self.progress.continuation(from, replayed, self.began.elapsed());
        let (app, trace, last) = (self.app.clone(), self.trace.clone(), self.worker.clone());
        let scope = dalston_telemetry::scope(request.request_id.as_str(), Some(request.session_id.as_str()));
        let asking = async move {
            if is_dead {
                app.router.worker_died(&last).await;
            }
            let found = app.router.find(&request, Some(continues), Some(&last), &trace);
            let found = timeout(app.config.stream.allocate_timeout, found).await;
            found
                .unwrap_or_else(|_| Err(ApiError::new(ErrorCode::NoCapacity, "no worker answered in time")))
                .map(Box::new)
        };
        Step::Asking(Box::pin(asking.instrument(scope)))
    }

    /// Whether what the worker says must wait.
    pub(super) fn is_asking(&self) -> bool {
        self.search.as_ref().is_some_and(|search| matches!(search.step, Step::Asking(_)))
    }

    /// Another worker, or why there is none: the time for it is over. While the last one serves, there is no such time.
    pub(super) fn poll_search(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Allocated>, ApiError>> {
        loop {
            let Some(search) = &mut self.search else { return Poll::Pending };
            match &mut search.step {
                Step::Asking(asking) => match std::task::ready!(asking.as_mut().poll(cx)) {
                    Ok(found) => return Poll::Ready(Ok(found)),
                    Err(error) => {
                        if error.code == ErrorCode::LanguageNotSupported {
                            // The last worker had refused it too, and kept the one that it had.
                            self.settings.0.language = None;
                        }
                        let is_over = search.since.elapsed() + search.pause > self.app.config.stream.move_timeout;
                        if is_over && !search.is_served {
                            return Poll::Ready(Err(error));
                        }
                        search.step = Step::Pausing(Box::pin(sleep(search.pause)));
                        search.pause = (2 * search.pause).min(LONGEST_PAUSE);
                    }
                },
                Step::Pausing(pause) => {
                    std::task::ready!(pause.as_mut().poll(cx));
                    let step = self.ask(false);
                    if let Some(search) = &mut self.search {
                        search.step = step;
                    }
                    self.begin_at_settled();
                }
            }
        }
    }
}

/// The request as the next worker is to hear it: with the model that the session has, and what the client has changed.
pub(in crate::stream) fn pinned(
    request: &SessionRequest,
    progress: &Progress,
    settings: &ConfigUpdate,
) -> SessionRequest {
    let mut request = request.clone();
    progress.pin(&mut request.config);
    apply(settings, &mut request.config);
    request
}

fn seconds_kept(config: &SessionConfig) -> f64 {
    config.endpointing.max_utterance_s + BESIDE_UTTERANCE
}

/// What the client has changed in messages that the next worker will not hear.
#[derive(Debug, Default)]
struct Settings(ConfigUpdate);

impl Settings {
    fn fold(&mut self, message: &ClientMessage) {
        let ClientMessage::Config(update) = message else { return };
        let ConfigUpdate {
            endpointing_ms,
            min_speech_ms,
            prefix_padding_ms,
            max_utterance_s,
            interim_results,
            language,
        } = update.clone();
        let so_far = &mut self.0;
        so_far.endpointing_ms = endpointing_ms.or(so_far.endpointing_ms);
        so_far.min_speech_ms = min_speech_ms.or(so_far.min_speech_ms);
        so_far.prefix_padding_ms = prefix_padding_ms.or(so_far.prefix_padding_ms);
        so_far.max_utterance_s = max_utterance_s.or(so_far.max_utterance_s);
        so_far.interim_results = interim_results.or(so_far.interim_results);
        so_far.language = language.or(so_far.language.take());
    }
}

fn apply(settings: &ConfigUpdate, config: &mut SessionConfig) {
    // What is not allowed has ended the session.
    if let Ok(rules) = config.endpointing.updated(settings) {
        config.endpointing = rules;
    }
    config.interim_results = settings.interim_results.unwrap_or(config.interim_results);
    if let Some(language) = &settings.language {
        config.language.clone_from(language);
    }
}
