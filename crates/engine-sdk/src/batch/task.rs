//! What an engine is given, and what it gives back.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use dalston_protocol::job::JobParameters;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::EngineError;

/// A kind of work in a job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stage(Cow<'static, str>);

impl Stage {
    /// Reads the upload: 16 kHz mono out of whatever came.
    pub const PREPARE: Self = Self::new("prepare");
    /// Speech to segments of text.
    pub const TRANSCRIBE: Self = Self::new("transcribe");
    /// Times for words that have none.
    pub const ALIGN: Self = Self::new("align");
    /// Who spoke when.
    pub const DIARIZE: Self = Self::new("diarize");

    /// A stage of this name: lower-case letters, digits and `_`.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its place in a job: the stage, and the channel where it runs once for each.
    pub fn node(&self, channel: Option<u8>) -> String {
        match channel {
            Some(channel) => format!("{self}-{channel}"),
            None => self.to_string(),
        }
    }
}

impl From<String> for Stage {
    fn from(name: String) -> Self {
        Self(Cow::Owned(name))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The input of one task, all of it on this machine.
#[derive(Debug, Clone, Default)]
pub struct TaskInput {
    /// What the job was asked to do.
    pub parameters: JobParameters,
    /// The channel this task is for, where its stage runs once for each.
    pub channel: Option<u8>,
    /// Files by name: `source` is the upload; `audio.wav`, `channel-0.wav`, … come from [`Stage::PREPARE`]. To be read and no
    /// more: each may be the artifact itself.
    pub files: BTreeMap<String, PathBuf>,
    /// Results of what this task depends on, by node: the stage's name, and its channel where it runs once for each
    /// (`transcribe-1`).
    pub results: BTreeMap<String, Value>,
    /// An empty folder, removed afterwards.
    pub scratch: PathBuf,
}

impl TaskInput {
    /// A file by its name.
    ///
    /// # Errors
    /// [`TaskError::Failed`], since the planner did not give it.
    pub fn file(&self, name: &str) -> Result<&Path, TaskError> {
        let missing = || TaskError::failed(format!("no file `{name}` among the inputs"));
        self.files.get(name).map(PathBuf::as_path).ok_or_else(missing)
    }

    /// The audio this task is for: its channel's, or the mix.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when nothing was prepared.
    pub fn audio(&self) -> Result<&Path, TaskError> {
        match self.channel {
            Some(channel) => self.file(&format!("channel-{channel}.wav")),
            None => self.file("audio.wav"),
        }
    }

    /// The result of a stage this task depends on: of its own channel, where that stage runs once for each.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when it is not there or of another shape.
    pub fn result<T: DeserializeOwned>(&self, stage: &Stage) -> Result<T, TaskError> {
        let missing = || TaskError::failed(format!("no result of `{stage}` among the inputs"));
        let own = self.channel.and_then(|channel| self.results.get(&stage.node(Some(channel))));
        let value = own.or_else(|| self.results.get(&stage.node(None))).ok_or_else(missing)?;
        T::deserialize(value).map_err(|error| TaskError::failed(format!("result of `{stage}`: {error}")))
    }
}

/// What a task has come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskOutput {
    /// The result, one of the shapes of this module where the stage is one of its.
    pub result: Value,
    /// Files by name, under [`TaskInput::scratch`]. Kept as artifacts; tasks that depend on this one are given them.
    pub files: BTreeMap<String, PathBuf>,
}

impl TaskOutput {
    /// A result without files.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when it has no form in JSON.
    pub fn of(result: &impl Serialize) -> Result<Self, TaskError> {
        let result = serde_json::to_value(result).map_err(TaskError::failed)?;
        Ok(Self { result, files: BTreeMap::new() })
    }

    /// With a file.
    #[must_use]
    pub fn with_file(mut self, name: impl Into<String>, path: PathBuf) -> Self {
        self.files.insert(name.into(), path);
        self
    }
}

/// What an engine may say and ask while it works.
pub trait TaskContext: Send + Sync {
    /// How far it is, 0 to 1. Cheap; call it as often as you like.
    fn progress(&self, done: f64);

    /// Whether the task is to end: cancelled, past its deadline, or given to another. Look at least once a second.
    fn is_cancelled(&self) -> bool;

    /// How long the task may still take.
    fn time_left(&self) -> Duration;

    /// The W3C `traceparent` to send with outgoing requests, when tracing is on.
    fn traceparent(&self) -> Option<String>;

    /// The request that made the job, to be sent along likewise.
    fn request_id(&self) -> &str;

    /// [`TaskError::Cancelled`] if the task is to end: `ctx.check()?` in a loop.
    ///
    /// # Errors
    /// As said.
    fn check(&self) -> Result<(), TaskError> {
        if self.is_cancelled() { Err(TaskError::Cancelled) } else { Ok(()) }
    }
}

/// Why a task was not done. The text is for the job's owner: never audio or transcript.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// The input is at fault: trying again would not help.
    #[error("{message}")]
    Rejected {
        /// A word of the program, part of the API: `unsupported_audio`, `empty_audio`, …
        code: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Something failed that may pass.
    #[error("{0}")]
    Failed(String),
    /// It was asked to end.
    #[error("cancelled")]
    Cancelled,
}

impl TaskError {
    /// The input is at fault.
    pub fn rejected(code: &'static str, message: impl fmt::Display) -> Self {
        Self::Rejected { code, message: message.to_string() }
    }

    /// Something failed that may pass.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    /// A word of the program.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected { code, .. } => code,
            Self::Failed(_) => "engine_failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Rejected(message) => Self::Rejected { code: "rejected_by_engine", message },
            other => Self::failed(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_that_of_the_tasks_own_channel() {
        let results = [("prepare", 1), ("transcribe-0", 2), ("transcribe-1", 3)];
        let results = results.map(|(node, value)| (node.to_owned(), json!(value))).into();
        let input = TaskInput { results, channel: Some(1), ..TaskInput::default() };
        assert_eq!(input.result::<u8>(&Stage::TRANSCRIBE), Ok(3));
        assert_eq!(input.result::<u8>(&Stage::PREPARE), Ok(1));
        let mix = TaskInput { channel: None, ..input };
        assert!(mix.result::<u8>(&Stage::TRANSCRIBE).is_err(), "which of the two nobody said");
    }
}
