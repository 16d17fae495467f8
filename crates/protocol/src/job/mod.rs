//! Batch jobs: what is asked for, how far it is, and what came of it.

mod parameters;
mod status;
mod view;

pub use parameters::{Granularity, JobParameters, MAX_VOCABULARY_TERM, MAX_VOCABULARY_TERMS, SpeakerDetection};
pub use status::{JobStatus, TaskStatus, UnknownStatus};
pub use view::{Artifact, Job, JobCreated, JobError, JobList, Stage, Task, TaskList, Transcript};
