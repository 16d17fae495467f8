//! The recogniser of one channel, on a task of its own, so that the session never waits for it.
//!
//! Commands go in through a queue that [`Backlog`] bounds in seconds of audio; outcomes come out through a bounded queue, in
//! the order of the utterances. A failure, a stall or a panic of the engine ends the utterance with a reason, and the next
//! one begins afresh.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dalston_audio::AudioTime;
use dalston_engine_sdk::{EngineError, Hypothesis, Recognizer, StreamOptions, StreamingEngine};
use dalston_protocol::realtime::FinalCause;
use futures_util::FutureExt;
use tokio::sync::mpsc;

use crate::backlog::Backlog;

/// What the session asks of the recogniser.
#[derive(Debug)]
pub(crate) enum Command {
    /// An utterance begins at this time of the audio clock.
    Begin { utterance: u64, start: AudioTime },
    /// More of it, and whether partials may be told by now.
    Audio { samples: Vec<i16>, partials: bool },
    /// It is whole.
    Finish { end: AudioTime, cause: FinalCause, flush: Option<Arc<Flush>>, asked: Instant },
    /// It is thrown away.
    Discard,
    /// Nothing was open when the client flushed; answered in turn.
    Flushed { flush: Arc<Flush> },
    /// How the next utterance is recognised.
    Settings { options: StreamOptions, pace: Pace },
}

/// What the recogniser has to say. Travels boxed: a channel allocates its slots ahead, for idle sessions too.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The words so far.
    Partial { utterance: Utterance, heard: AudioTime, hypothesis: Hypothesis, took: Took },
    /// The words.
    Final { utterance: Utterance, ended: Ended, hypothesis: Hypothesis, language: String, took: Took },
    /// The words are lost, also those that a flush was to give.
    Failed { utterance: Utterance, error: EngineError, took: Took, flush: Option<Arc<Flush>> },
    /// Nothing was open when the client flushed.
    Flushed { flush: Arc<Flush> },
}

/// A client's flush. Every channel that may have something to say to it holds it until that is said; then the client has had
/// finals that carry its id, or has one `flushed` still to come.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) id: Option<String>,
    /// Whether a final answered it. Only the session's task looks.
    said: AtomicBool,
}

impl Flush {
    pub(crate) fn new(id: Option<String>) -> Self {
        Self { id, said: AtomicBool::new(false) }
    }

    /// A final answers it.
    pub(crate) fn answer(&self) {
        self.said.store(true, Ordering::Relaxed);
    }

    /// One channel has nothing more to say. The flush, when that was the last one and no final answered it.
    pub(crate) fn settle(self: Arc<Self>) -> Option<Self> {
        Arc::into_inner(self).filter(|flush| !flush.said.load(Ordering::Relaxed))
    }
}

/// Which utterance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Utterance {
    pub(crate) channel: u8,
    pub(crate) number: u64,
    /// The time of its first sample.
    pub(crate) start: AudioTime,
}

/// How an utterance ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The end of speech.
    pub(crate) at: AudioTime,
    pub(crate) cause: FinalCause,
    /// The flush that ended it.
    pub(crate) flush: Option<Arc<Flush>>,
    /// When the session asked for the final.
    pub(crate) asked: Instant,
}

/// From when to when the engine worked on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl Took {
    fn since(began: Instant) -> Self {
        Self { began, ended: Instant::now() }
    }

    pub(crate) fn duration(self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }
}

/// How an engine is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Audio between two partials; `None` when none are wanted.
    pub(crate) partial_every: Option<AudioTime>,
    /// The longest that one call may take. Beyond it the engine is taken to hang.
    pub(crate) deadline: Duration,
}

/// Most audio in one call: large enough to save calls when behind, small enough that partials keep coming.
const MOST_AT_ONCE: usize = 8_000;

/// One channel's recogniser.
pub(crate) struct Inference {
    engine: Arc<dyn StreamingEngine>,
    options: StreamOptions,
    pace: Pace,
    channel: u8,
    commands: mpsc::Receiver<Command>,
    /// A command that was taken off the queue and is not yet done.
    stash: Option<Command>,
    backlog: Backlog,
    /// Full when the session does not take outcomes, because its client does not read; then the recogniser waits too.
    outcomes: mpsc::Sender<Box<Outcome>>,
    /// Opened by the first utterance, and again after a failure.
    recognizer: Option<Box<dyn Recognizer>>,
    current: Option<Current>,
    next_settings: Option<(StreamOptions, Pace)>,
}

/// The utterance that is open.
struct Current {
    utterance: Utterance,
    heard: AudioTime,
    last_partial: AudioTime,
    last_text: String,
    /// Whether the engine gave it its turn.
    begun: bool,
    /// Set when the engine failed: what is still to come of the utterance is passed over.
    failed: bool,
}

impl Inference {
    pub(crate) fn new(
        engine: Arc<dyn StreamingEngine>,
        options: StreamOptions,
        pace: Pace,
        channel: u8,
        commands: mpsc::Receiver<Command>,
        backlog: Backlog,
        outcomes: mpsc::Sender<Box<Outcome>>,
    ) -> Self {
        Self {
            engine,
            options,
            pace,
            channel,
            commands,
            stash: None,
            backlog,
            outcomes,
            recognizer: None,
            current: None,
            next_settings: None,
        }
    }

    /// Works until the session drops its sender, then answers what is left and ends. Ends early when nobody takes outcomes.
    pub(crate) async fn run(mut self) {
        while let Some(command) = self.next().await {
            if self.step(command).await.is_none() {
                break;
            }
        }
    }

    async fn next(&mut self) -> Option<Command> {
        match self.stash.take() {
            Some(command) => Some(command),
            None => self.commands.recv().await,
        }
    }

    /// `None` when nobody takes outcomes any more.
    async fn step(&mut self, command: Command) -> Option<()> {
        match command {
            Command::Begin { utterance, start } => {
                if let Some((options, pace)) = self.next_settings.take() {
                    self.pace = pace;
                    if self.options != options {
                        self.options = options;
                        self.recognizer = None;
                    }
                }
                let utterance = Utterance { channel: self.channel, number: utterance, start };
                self.current = Some(Current {
                    utterance,
                    heard: start,
                    last_partial: start,
                    last_text: String::new(),
                    begun: false,
                    failed: false,
                });
            }
            Command::Audio { samples, partials } => {
                let lost = self.take_turn().await;
                let (samples, partials) = self.gather(samples, partials);
                let outcome = self.hear(&samples, partials).await;
                self.backlog.sub(self.channel, samples.len());
                if let Some(outcome) = lost.or(outcome) {
                    self.outcomes.send(Box::new(outcome)).await.ok()?;
                }
            }
            Command::Finish { end, cause, flush, asked } => {
                if let Some(outcome) = self.finish(Ended { at: end, cause, flush, asked }).await {
                    self.outcomes.send(Box::new(outcome)).await.ok()?;
                }
            }
            Command::Discard => {
                self.current = None;
                if let Some(recognizer) = &mut self.recognizer {
                    recognizer.reset();
                }
            }
            Command::Flushed { flush } => self.outcomes.send(Box::new(Outcome::Flushed { flush })).await.ok()?,
            Command::Settings { options, pace } => self.next_settings = Some((options, pace)),
        }
        self.backlog.moved();
        Some(())
    }

    /// Joins audio that already waits, so that an engine that is behind is called less often.
    fn gather(&mut self, mut samples: Vec<i16>, mut partials: bool) -> (Vec<i16>, bool) {
        while samples.len() < MOST_AT_ONCE {
            match self.commands.try_recv() {
                Ok(Command::Audio { samples: more, partials: by_now }) => {
                    samples.extend_from_slice(&more);
                    partials |= by_now;
                }
                Ok(other) => {
                    self.stash = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        (samples, partials)
    }

    /// Has the engine begin the utterance, if it has not. However long that takes, the audio waits and nothing is lost: the
    /// session sees it as lag, or holds its client back.
    async fn take_turn(&mut self) -> Option<Outcome> {
        let current = self.current.as_mut().filter(|current| !current.begun && !current.failed)?;
        current.begun = true;
        let asked = Instant::now();
        let recognizer = match open(&mut self.recognizer, &*self.engine, &self.options) {
            Ok(recognizer) => recognizer,
            Err(error) => return Some(self.fail(error, asked)),
        };
        let turn = {
            let _waiting = self.backlog.wait(self.channel);
            contained(|| recognizer.begin()).await
        };
        turn.err().map(|error| self.fail(error, asked))
    }

    async fn hear(&mut self, samples: &[i16], partials: bool) -> Option<Outcome> {
        let current = self.current.as_mut().filter(|current| !current.failed)?;
        current.heard += AudioTime::from_samples(samples.len() as u64);
        let due = |every: AudioTime| current.heard.saturating_sub(current.last_partial) >= every;
        let want_partial = partials && self.pace.partial_every.is_some_and(due);
        let began = Instant::now();
        let recognizer = match open(&mut self.recognizer, &*self.engine, &self.options) {
            Ok(recognizer) => recognizer,
            Err(error) => return Some(self.fail(error, began)),
        };
        match guarded(self.pace.deadline, || recognizer.accept(samples, want_partial)).await {
            Ok(Some(hypothesis)) if want_partial => {
                current.last_partial = current.heard;
                if hypothesis.text.is_empty() || hypothesis.text == current.last_text {
                    return None;
                }
                current.last_text.clone_from(&hypothesis.text);
                let (utterance, heard) = (current.utterance, current.heard);
                Some(Outcome::Partial { utterance, heard, hypothesis, took: Took::since(began) })
            }
            Ok(_) => None,
            Err(error) => Some(self.fail(error, began)),
        }
    }

    async fn finish(&mut self, ended: Ended) -> Option<Outcome> {
        let current = self.current.take()?;
        if current.failed {
            // The client was told; a flush still wants its answer.
            return ended.flush.map(|flush| Outcome::Flushed { flush });
        }
        let began = Instant::now();
        let recognizer = match open(&mut self.recognizer, &*self.engine, &self.options) {
            Ok(recognizer) => recognizer,
            Err(error) => return Some(failed(current.utterance, error, began, ended.flush)),
        };
        match guarded(self.pace.deadline, || recognizer.finish()).await {
            Ok(hypothesis) => {
                let (utterance, language) = (current.utterance, self.options.language.clone());
                Some(Outcome::Final { utterance, ended, hypothesis, language, took: Took::since(began) })
            }
            Err(error) => {
                self.recognizer = None;
                Some(failed(current.utterance, error, began, ended.flush))
            }
        }
    }

    fn fail(&mut self, error: EngineError, began: Instant) -> Outcome {
        self.recognizer = None;
        let utterance = match &mut self.current {
            Some(current) => {
                current.failed = true;
                current.utterance
            }
            None => Utterance { channel: self.channel, number: 0, start: AudioTime::ZERO },
        };
        failed(utterance, error, began, None)
    }
}

fn failed(utterance: Utterance, error: EngineError, began: Instant, flush: Option<Arc<Flush>>) -> Outcome {
    Outcome::Failed { utterance, error, took: Took::since(began), flush }
}

fn open<'a>(
    slot: &'a mut Option<Box<dyn Recognizer>>,
    engine: &dyn StreamingEngine,
    options: &StreamOptions,
) -> Result<&'a mut Box<dyn Recognizer>, EngineError> {
    match slot {
        Some(recognizer) => Ok(recognizer),
        None => Ok(slot.insert(engine.open(options.clone())?)),
    }
}

/// An engine's call with a deadline.
async fn guarded<T, F>(deadline: Duration, call: impl FnOnce() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    match tokio::time::timeout(deadline, contained(call)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(EngineError::Stalled(deadline)),
    }
}

/// An engine's call with a panic turned into an error: an engine cannot take its session down.
async fn contained<T, F>(call: impl FnOnce() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    // Unwind safety: after a panic the recogniser is dropped, nothing of it is looked at again.
    let caught = AssertUnwindSafe(async move { call().await }).catch_unwind();
    caught.await.unwrap_or_else(|_panic| Err(EngineError::Failed("the engine panicked".into())))
}
