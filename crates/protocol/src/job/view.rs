//! Jobs, tasks and transcripts as the API shows them. Times of day are RFC 3339 in UTC; durations are seconds.

use serde::{Deserialize, Serialize};

use super::{JobParameters, JobStatus, TaskStatus};
use crate::{JobId, RequestId, Segment, TaskId};

/// The answer to an accepted upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCreated {
    /// To ask for it with.
    pub id: JobId,
    /// `pending`, or what an earlier request with the same idempotency key has become.
    pub status: JobStatus,
    /// When it was accepted.
    pub created_at: String,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// What its owner calls it: the file's name unless renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was asked for.
    pub parameters: JobParameters,
    /// The request that made it, to be quoted when asking for help.
    pub request_id: RequestId,
    /// Its trace, when tracing is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When it was accepted.
    pub created_at: String,
    /// When its first task began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it became terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// When it will be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Length of the audio, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_duration: Option<f64>,
    /// 0 to 1.
    pub progress: f64,
    /// What it goes through. Not shown in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
    /// What was said, when it is completed. Not shown in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
}

/// One stage of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `prepare`, `transcribe`, …
    pub stage: String,
    /// The channel, where a stage runs once for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u8>,
    /// Who does it.
    pub engine_id: String,
    /// Where it stands.
    pub status: TaskStatus,
    /// 0 to 1.
    pub progress: f64,
    /// From ready to running: the time nobody had for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<f64>,
    /// From the beginning of the last attempt to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

/// Why a job or task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// A word of the program: `unsupported_audio`, `deadline_exceeded`, …
    pub code: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// The codes of [`JobError`] that are the caller's doing.
const CALLERS: [&str; 10] = [
    "corrupt_audio",
    "empty_audio",
    "language_not_supported",
    "model_not_found",
    "rejected_by_engine",
    "too_long",
    "too_many_channels",
    "translation_not_supported",
    "unsupported_audio",
    "unsupported_language",
];

impl JobError {
    /// Whether another file or other parameters would help; otherwise the server is at fault.
    pub fn is_callers(&self) -> bool {
        CALLERS.contains(&self.code.as_str())
    }
}

/// A page of jobs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobList {
    /// The jobs, without transcripts and stages.
    pub items: Vec<Job>,
    /// Gives the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One task of a job, for whoever wants to know exactly what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its place in the job: the stage, and the channel if there are several.
    pub node: String,
    /// The nodes whose output it needs.
    pub depends_on: Vec<String>,
    /// Shared with the job's own list of stages.
    #[serde(flatten)]
    pub stage: Stage,
    /// How often it was begun.
    pub attempts: u32,
    /// How often whoever ran it was gone without a word.
    pub crashes: u32,
    /// When what it depends on was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<String>,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it became terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// The last failure, also when a later attempt went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<JobError>,
}

/// The tasks of a job, in the order of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskList {
    /// The tasks.
    pub tasks: Vec<Task>,
}

/// Something a task has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name within the task.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What was said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// All of it: the texts of the segments, parted by single spaces.
    pub text: String,
    /// Language code.
    pub language: String,
    /// Length of the audio in seconds.
    pub duration: f64,
    /// `engine/model` that recognised it.
    pub model: String,
    /// In the order of their beginnings. Empty without timestamps.
    pub segments: Vec<Segment>,
    /// What was wrong with the audio though it could be read, such as that the file was cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}
