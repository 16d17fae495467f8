//! Jobs and tasks as they are kept.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    JobId, RequestId, TaskId,
    job::{JobError, JobParameters, JobStatus, TaskStatus},
};

/// A job as it is accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// What is asked for.
    pub parameters: JobParameters,
    /// The request that made it.
    pub request_id: RequestId,
    /// The span of that request, when tracing is on.
    pub traceparent: Option<String>,
    /// The upload, which is kept already.
    pub source: Source,
    /// What tells a repeated request from a new one, if the client gave a key.
    pub idempotency: Option<Idempotency>,
}

/// The audio of a job as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its artifact.
    pub key: String,
    /// What the client called the file.
    pub file_name: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// What tells a repeated request from a new one. Kept as long as its job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The client's key; two tenants may use the same.
    pub key: String,
    /// Equal for equal requests, and only for these.
    pub fingerprint: String,
}

/// What became of [`create`](super::JobStore::create).
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// The job is kept, and its planning is in the outbox.
    New(JobRecord),
    /// The same request made this job before.
    Existing(JobRecord),
    /// Another request used the same key.
    Conflict,
}

/// A job as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// Whose it is.
    pub tenant: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// What is asked for.
    pub parameters: JobParameters,
    /// The request that made it.
    pub request_id: RequestId,
    /// The span of that request, when tracing is on.
    pub traceparent: Option<String>,
    /// The upload.
    pub source: Source,
    /// What tells a repeated request from a new one.
    pub idempotency: Option<Idempotency>,
    /// Where it stands.
    pub status: JobStatus,
    /// Grows whenever the job or one of its tasks changes; progress alone does not count.
    pub version: i64,
    /// Length of the audio in seconds, once it is known.
    pub audio_duration: Option<f64>,
    /// The artifact that holds its transcript.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// When it was accepted.
    pub created_at: SystemTime,
    /// When its first task began.
    pub started_at: Option<SystemTime>,
    /// When it became terminal: there exactly then.
    pub ended_at: Option<SystemTime>,
    /// When it is to be removed.
    pub expires_at: Option<SystemTime>,
}

/// A task as the planner wants it. It begins [`Pending`](TaskStatus::Pending).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Its place in the job, of its own there.
    pub node: String,
    /// The kind of work.
    pub stage: String,
    /// Who does it.
    pub engine_id: String,
    /// The channel it is for.
    pub channel: Option<u8>,
    /// The nodes whose output it needs.
    pub depends_on: Vec<String>,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// How often it may fail before that is for good; at least 1.
    pub max_attempts: u32,
}

/// A task as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// Its job.
    pub job_id: JobId,
    /// Its place in the job.
    pub node: String,
    /// The kind of work.
    pub stage: String,
    /// Who does it.
    pub engine_id: String,
    /// The channel it is for.
    pub channel: Option<u8>,
    /// The nodes whose output it needs.
    pub depends_on: Vec<String>,
    /// Where it stands.
    pub status: TaskStatus,
    /// How often it was begun: the fencing token of whoever has it now. Never goes back.
    pub attempt: u32,
    /// How often it was reported as failed …
    pub failures: u32,
    /// … and how often whoever ran it was gone without a word.
    pub crashes: u32,
    /// How often it may fail before that is for good.
    pub max_attempts: u32,
    /// How long one attempt may take.
    pub deadline: Duration,
    /// How far the last attempt is, 0 to 1.
    pub progress: f64,
    /// Who has it, or had it last.
    pub runner: Option<String>,
    /// The artifact that holds what it came to.
    pub output: Option<String>,
    /// The last failure, also when a later attempt went well.
    pub error: Option<JobError>,
    /// The span that made it ready, when tracing is on.
    pub traceparent: Option<String>,
    /// The span of the first attempt, likewise: also when whoever ran it was killed.
    pub first_attempt: Option<String>,
    /// From when on it could run at all: before its first attempt.
    pub first_ready_at: Option<SystemTime>,
    /// From when on it may run: after a failure that is later than now.
    pub ready_at: Option<SystemTime>,
    /// When the last attempt began.
    pub started_at: Option<SystemTime>,
    /// When it became terminal: there exactly then.
    pub ended_at: Option<SystemTime>,
}
