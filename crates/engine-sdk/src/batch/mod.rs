//! Engines that work on files: one task in, one result out.
//!
//! An author writes [`Engine::process`] as plain blocking code. Claiming the task, fetching its inputs, renewing the claim,
//! retries, storage, tracing and cancellation are the runner's.
//!
//! ```
//! use dalston_engine_sdk::batch::{Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput};
//!
//! /// Counts the samples of the prepared audio.
//! struct Counter;
//!
//! impl Engine for Counter {
//!     fn info(&self) -> EngineInfo {
//!         EngineInfo::new("counter", Stage::new("count"))
//!     }
//!
//!     fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
//!         let bytes = std::fs::metadata(input.file("audio.wav")?).map_err(TaskError::failed)?.len();
//!         ctx.progress(1.0);
//!         TaskOutput::of(&serde_json::json!({ "samples": bytes.saturating_sub(44) / 2 }))
//!     }
//! }
//! ```

mod catalogue;
mod process;
mod results;
mod task;
#[cfg(feature = "conformance")]
mod watched;

pub use catalogue::Catalogue;
pub use process::{Heard, TaskProcess};
pub use results::{Aligned, Diarized, Prepared, Spoken, Transcribed, Turn};
pub use task::{Stage, TaskContext, TaskError, TaskInput, TaskOutput};
#[cfg(feature = "conformance")]
pub use watched::Watched;

use serde::{Deserialize, Serialize};

use crate::Capabilities;

/// An engine for one stage of a job. One value serves all tasks, at most [`EngineInfo::concurrency`] at once.
pub trait Engine: Send + Sync + 'static {
    /// What it is.
    fn info(&self) -> EngineInfo;

    /// Does one task. Runs on a thread of its own and may block it. Called again with the same input after a failure that
    /// [may pass](TaskError::Failed), or after a crash.
    ///
    /// # Errors
    /// [`TaskError`] tells what would not help to try again from what might.
    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError>;
}

/// What an engine is, as the planner and the API see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Stable id, e.g. `pocketsphinx`; names its queue.
    pub engine_id: String,
    /// The stage it does.
    pub stage: Stage,
    /// Tasks at once; as many as there are processors unless said.
    pub concurrency: usize,
    /// What it recognises, for stages that choose by language and model.
    pub capabilities: Option<Capabilities>,
}

impl EngineInfo {
    /// An engine without anything to choose by, with one task per processor.
    pub fn new(engine_id: impl Into<String>, stage: Stage) -> Self {
        let concurrency = std::thread::available_parallelism().map_or(1, usize::from);
        Self { engine_id: engine_id.into(), stage, concurrency, capabilities: None }
    }

    /// Whether `model=` means this engine. Without capabilities it has no name but its id. No model at all means any.
    pub fn answers_to(&self, model: Option<&str>) -> bool {
        match &self.capabilities {
            Some(capabilities) => capabilities.answers_to(model),
            None => model.is_none_or(|model| model == self.engine_id),
        }
    }

    /// Whether it writes in English what was said in another language.
    pub fn translates(&self) -> bool {
        self.capabilities.as_ref().is_some_and(|capabilities| capabilities.translation)
    }

    /// Whether it takes this language. Without capabilities it takes any.
    pub fn speaks(&self, language: &str) -> bool {
        self.capabilities.as_ref().is_none_or(|capabilities| capabilities.languages.resolve(language).is_some())
    }
}
