//! Recognises files with any streaming engine, utterance by utterance.

#![forbid(unsafe_code)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use dalston_audio::VadKind;
use dalston_engine_sdk::batch::{Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput};
use dalston_engine_sdk::{Profile, StreamingEngine};
use tokio::runtime::Handle;

/// How files are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Speed against accuracy, for engines that have a choice.
    pub profile: Profile,
    /// Which detector finds the speech.
    pub vad: VadKind,
    /// Longest utterance; a longer one is cut at its quietest place.
    pub longest: Duration,
    /// Utterances of one file at once.
    pub parallel: NonZeroUsize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            vad: VadKind::default(),
            longest: Duration::from_secs(15),
            parallel: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// The engine.
pub struct Utterances {
    engine: Arc<dyn StreamingEngine>,
    runtime: Handle,
    settings: Settings,
}

impl Utterances {
    /// Over this engine. Must be called in a tokio runtime, which then must outlive every task.
    pub fn new(engine: Arc<dyn StreamingEngine>, settings: Settings) -> Self {
        Self { engine, runtime: Handle::current(), settings }
    }
}

impl Engine for Utterances {
    fn info(&self) -> EngineInfo {
        let capabilities = self.engine.capabilities().clone();
        EngineInfo {
            capabilities: Some(capabilities.clone()),
            ..EngineInfo::new(capabilities.engine_id, Stage::TRANSCRIBE)
        }
    }

    fn process(&self, _: &TaskInput, _: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let _unused = (&self.runtime, &self.settings);
        Err(TaskError::failed("not built yet"))
    }
}
