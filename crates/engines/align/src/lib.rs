//! Times for the words of a transcript whose engine gives none, with any streaming engine that can
//! [align](dalston_engine_sdk::Capabilities::alignment).
//!
//! Each segment is aligned by itself: its text over its audio and a little around it, several segments at once. The words are the
//! segment's own, as they are written. A segment whose text does not fit its audio (a wrong time, a wrong text, more than the
//! aligner takes) keeps its words too: their times are shared out over the segment by length, it is said that they are, and a
//! reader sees it. What has words with times already stays as it is. So does everything in a language that the aligner does not speak.
//!
//! Held in memory: the audio of the segments that are being aligned.

#![forbid(unsafe_code)]

mod audio;
mod placing;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dalston_engine_sdk::batch::{
    Aligned, Engine, EngineInfo, Spoken, Stage, TaskContext, TaskError, TaskInput, TaskOutput, Transcribed,
};
use dalston_engine_sdk::{Capabilities, EngineError, Hypothesis, Profile, SAMPLE_RATE, StreamOptions, StreamingEngine};
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};

use audio::Audio;
use placing::Span;

/// What the pipeline calls it.
pub const ENGINE_ID: &str = "align";

/// Samples that are given to the engine at once.
const PART: usize = SAMPLE_RATE as usize / 2;
/// How often a task looks at whether it is still wanted, and says how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// The engine.
pub struct Align {
    engine: Arc<dyn StreamingEngine>,
    runtime: Handle,
    parallel: usize,
    /// Fair between files: whoever waits longest has the next turn.
    turns: Semaphore,
}

/// One segment with its words.
struct Timed {
    spoken: Spoken,
    is_estimated: bool,
}

impl Align {
    /// Over this engine, with at most so many segments at once over all files, and never more than half of the engine's streams:
    /// the rest is for live sessions. `None`: it cannot align. Must be called in a tokio runtime, which then must outlive every
    /// task. Tasks themselves run on threads outside of it, or on those for blocking work.
    pub fn new(engine: Arc<dyn StreamingEngine>, parallel: NonZeroUsize) -> Option<Self> {
        let Capabilities { alignment, max_streams, .. } = engine.capabilities();
        if !alignment {
            return None;
        }
        let parallel = parallel.get().min(max_streams.map_or(usize::MAX, |streams| (streams / 2).max(1)));
        Some(Self { engine, runtime: Handle::current(), parallel, turns: Semaphore::new(parallel) })
    }

    async fn align(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<Aligned, TaskError> {
        let Transcribed { language, segments, .. } = input.result(&Stage::TRANSCRIBE)?;
        let Some(language) = self.engine.capabilities().languages.resolve(&language) else {
            return Ok(Aligned { segments, estimated: Vec::new() });
        };
        let audio = Audio::open(input.audio()?)?;
        let spans = placing::spans(&segments, audio.seconds());
        let count = segments.len();
        let mut timed = stream::iter(segments.into_iter().zip(spans))
            .map(|(spoken, span)| self.time(spoken, span, &audio, &language))
            .buffered(self.parallel);
        let mut aligned = Aligned::default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    // Ending here drops the recognisers, which abandons their segments.
                    ctx.check()?;
                    ctx.progress(aligned.segments.len() as f64 / count.max(1) as f64);
                }
                next = timed.next() => {
                    let Some(timed) = next.transpose()? else { break };
                    if timed.is_estimated {
                        aligned.estimated.push(aligned.segments.len());
                    }
                    aligned.segments.push(timed.spoken);
                }
            }
        }
        ctx.progress(1.0);
        Ok(aligned)
    }

    async fn time(&self, spoken: Spoken, span: Span, audio: &Audio, language: &str) -> Result<Timed, TaskError> {
        if !spoken.words.is_empty() || spoken.text.trim().is_empty() {
            return Ok(Timed { spoken, is_estimated: false });
        }
        // It is closed by nobody.
        let _turn = self.turns.acquire().await.map_err(TaskError::failed)?;
        let heard = match self.hear(&spoken.text, span, audio, language).await? {
            Some(hypothesis) => placing::on_the_clock(&spoken, span, hypothesis.words),
            None => None,
        };
        let is_estimated = heard.is_none();
        let words = heard.unwrap_or_else(|| placing::shared_out(&spoken));
        Ok(Timed { spoken: Spoken { words, ..spoken }, is_estimated })
    }

    /// The words over this audio; `None` when they do not fit, or take the engine down.
    async fn hear(
        &self,
        text: &str,
        span: Span,
        audio: &Audio,
        language: &str,
    ) -> Result<Option<Hypothesis>, TaskError> {
        let Some(samples) = audio.read(span)? else { return Ok(None) };
        match self.run(text, &samples, language).await {
            Ok(hypothesis) => Ok(Some(hypothesis)),
            Err(EngineError::Rejected(_)) => Ok(None),
            // If it is well otherwise, it was this text, which must not cost the rest.
            Err(EngineError::Died(_) | EngineError::Stalled(_)) => {
                self.run("", &[0; PART], language).await?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn run(&self, text: &str, samples: &[i16], language: &str) -> Result<Hypothesis, EngineError> {
        let mut recognizer = self.engine.open(StreamOptions {
            language: language.to_owned(),
            profile: Profile::Accurate,
            text: Some(text.to_owned()),
            ..StreamOptions::default()
        })?;
        // Live sessions have all streams: a file can wait, for as long as its task may take.
        while let Err(error) = recognizer.begin().await {
            if !matches!(error, EngineError::Busy(_)) {
                return Err(error);
            }
        }
        for part in samples.chunks(PART) {
            recognizer.accept(part, false).await?;
        }
        recognizer.finish().await
    }
}

impl Engine for Align {
    fn info(&self) -> EngineInfo {
        let capabilities = Some(self.engine.capabilities().clone());
        EngineInfo { concurrency: self.parallel, capabilities, ..EngineInfo::new(ENGINE_ID, Stage::ALIGN) }
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let aligned = self.runtime.block_on(Box::pin(self.align(input, ctx)))?;
        TaskOutput::of(&aligned)
    }
}
