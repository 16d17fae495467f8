//! Recognises files with any streaming engine, utterance by utterance.
//!
//! A file is parted where nobody speaks, and where somebody speaks for long, at the quietest place (`splitting`). Each
//! utterance goes through a recogniser of its own, several at once, so an engine in processes of its own uses all processors and one
//! that crashes repeats one utterance. The words come out in order and on the clock of the file, the same each time whatever
//! runs beside it.
//!
//! Held in memory: the utterances that are being heard, and the one that is being read.

#![forbid(unsafe_code)]

mod hearing;
mod recording;
mod splitting;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dalston_audio::VadKind;
use dalston_engine_sdk::batch::{
    Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput, Transcribed,
};
use dalston_engine_sdk::{Caller, Profile, StreamOptions, StreamingEngine};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use recording::Recording;
use splitting::Rules;

/// How files are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Speed against accuracy, for engines that have a choice.
    pub profile: Profile,
    /// Which detector finds the speech.
    pub vad: VadKind,
    /// Silence that parts utterances.
    pub pause: Duration,
    /// Longest utterance; a longer one is cut at its quietest place.
    pub longest: Duration,
    /// Utterances at once, over all files. Never more than half of the streams that the engine has: the rest is for live sessions.
    pub parallel: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::Accurate,
            vad: VadKind::default(),
            pause: Duration::from_millis(500),
            longest: Duration::from_secs(15),
            parallel: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// How often a task looks at whether it is still wanted, and says how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// The engine.
pub struct Utterances {
    engine: Arc<dyn StreamingEngine>,
    runtime: Handle,
    settings: Settings,
    parallel: usize,
    /// Fair between files: whoever waits longest has the next turn.
    turns: Semaphore,
}

impl Utterances {
    /// Over this engine. Must be called in a tokio runtime, which then must outlive every task. Tasks themselves run on threads
    /// outside of it, or on those for blocking work.
    pub fn new(engine: Arc<dyn StreamingEngine>, settings: Settings) -> Self {
        let streams = engine.capabilities().max_streams.map_or(usize::MAX, |streams| (streams / 2).max(1));
        let parallel = settings.parallel.get().min(streams);
        Self { engine, runtime: Handle::current(), settings, parallel, turns: Semaphore::new(parallel) }
    }

    async fn transcribe(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<Transcribed, TaskError> {
        let options = self.options(input, ctx)?;
        let rules = Rules::new(self.settings.pause, self.settings.longest);
        let recording = Recording::open(input.audio()?, self.settings.vad, rules)?;
        let length = recording.length();
        let tally = hearing::Tally::default();
        let mut heard = stream::iter(recording)
            .map(|step| {
                let (options, tally) = (options.clone(), &tally);
                async move {
                    let step = step?;
                    tally.read(&step);
                    let Some(piece) = step.piece else { return Ok(None) };
                    // It is closed by nobody.
                    let _turn = self.turns.acquire().await.map_err(TaskError::failed)?;
                    hearing::hear(self.engine.as_ref(), options, &piece, tally).await
                }
            })
            .buffered(self.parallel);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut segments = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    // Ending here drops the recognisers, which abandons their utterances.
                    ctx.check()?;
                    ctx.progress(tally.share_of(length));
                }
                next = heard.next() => match next {
                    Some(spoken) => segments.extend(spoken?),
                    None => break,
                },
            }
        }
        ctx.progress(1.0);
        let model = self.engine.capabilities().full_name();
        Ok(Transcribed { language: options.language.clone(), model, segments })
    }

    fn options(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<StreamOptions, TaskError> {
        let capabilities = self.engine.capabilities();
        let wanted = &input.parameters.language;
        let language = capabilities.languages.resolve(wanted).ok_or_else(|| {
            let (name, languages) = (capabilities.full_name(), &capabilities.languages);
            TaskError::rejected("unsupported_language", format!("{name} does not know `{wanted}` but {languages:?}"))
        })?;
        let vocabulary = if capabilities.vocabulary { input.parameters.vocabulary.clone() } else { Vec::new() };
        let caller = Caller { traceparent: ctx.traceparent(), request_id: ctx.request_id().to_owned() };
        Ok(StreamOptions {
            language,
            profile: self.settings.profile,
            vocabulary,
            translate: input.parameters.translate,
            caller,
            ..StreamOptions::default()
        })
    }
}

impl Engine for Utterances {
    fn info(&self) -> EngineInfo {
        let capabilities = self.engine.capabilities().clone();
        let info = EngineInfo::new(capabilities.engine_id.clone(), Stage::TRANSCRIBE);
        EngineInfo { concurrency: self.parallel, capabilities: Some(capabilities), ..info }
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let transcribed = self.runtime.block_on(Box::pin(self.transcribe(input, ctx)))?;
        TaskOutput::of(&transcribed)
    }
}
