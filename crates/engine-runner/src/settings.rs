//! How patient a runner is, and how much an engine may write.

use std::{path::PathBuf, time::Duration};

use dalston_protocol::WorkerId;

/// How a runner works.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// What the broker and the store know it by; of its own.
    pub name: String,
    /// Where the folders of tasks are made. Runners may share it, those of other processes too.
    pub scratch: PathBuf,
    /// How long a message stays claimed unless it is renewed, which is done three times as often. A runner that is
    /// killed keeps its tasks from others for this long.
    pub lease: Duration,
    /// How often the store is asked whether a task is to go on. With news of its progress it is asked sooner, at most
    /// twice a second.
    pub look: Duration,
    /// How long an engine that was asked to stop may take. Then its thread is given up.
    pub grace: Duration,
    /// How long tasks may go on at shutdown before they are stopped and given back.
    pub drain: Duration,
    /// How long nothing is tried after the store or the broker failed.
    pub pause: Duration,
    /// How many threads may be given up before their engine gets no others for them.
    pub max_stuck: usize,
    /// What the output of a task may be.
    pub output: OutputLimits,
}

impl RunnerSettings {
    /// With folders of tasks in `scratch`.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            name: WorkerId::generate().to_string(),
            scratch: scratch.into(),
            lease: Duration::from_secs(30),
            look: Duration::from_secs(1),
            grace: Duration::from_secs(10),
            drain: Duration::from_secs(20),
            pause: Duration::from_secs(1),
            max_stuck: 8,
            output: OutputLimits::default(),
        }
    }
}

/// What the output of a task may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits {
    /// How many files.
    pub files: usize,
    /// How many bytes they have together.
    pub bytes: u64,
    /// How many bytes the result has as JSON.
    pub result_bytes: u64,
}

impl Default for OutputLimits {
    /// A file for each of 255 channels and more, eight gigabytes, and the words of some days.
    fn default() -> Self {
        Self { files: 300, bytes: 8 << 30, result_bytes: 64 << 20 }
    }
}
