//! How a host is started, and the limits it is held to.

use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a host is started.
#[derive(Clone)]
pub struct HostConfig {
    /// The program, whose `main` calls [`run`](crate::run) for these arguments.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables it gets beside the server's own.
    pub env: Vec<(OsString, OsString)>,
    /// The limits.
    pub limits: Limits,
    /// Told how long each utterance waited for its stream: for a histogram.
    pub on_granted: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
}

impl HostConfig {
    /// This very program as `engine-host <engine>`, also when its file has been replaced since it was started.
    pub fn this_program(engine: &str) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            args: vec!["engine-host".into(), engine.into()],
            env: Vec::new(),
            limits: Limits::default(),
            on_granted: None,
        }
    }
}

impl fmt::Debug for HostConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables may be secrets.
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("HostConfig")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a host and its streams are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Streams at once, over all sessions: each is a process with memory of its own.
    pub max_streams: NonZeroUsize,
    /// Longest wait for a free stream. Then `Busy`. Long, because a full pool is no fault: who is live is given up by the lag
    /// budget long before, and who sends ahead of real time can wait. It ends a wait that nothing else would end.
    pub wait: Duration,
    /// Longest wait for a host that is starting. Then the reason.
    pub restart: Duration,
    /// Longest wait for a stream's answer to half a second of audio. Then it hangs, and is replaced. Streams that are opened
    /// for accuracy have five times as long for this and for the end.
    pub answer: Duration,
    /// The same for the utterance's end, which takes the longer the more was said.
    pub finish: Duration,
    /// Longest wait for a fork. Then the host hangs, and is replaced with all its streams.
    pub fork: Duration,
    /// Longest wait for a model.
    pub load: Duration,
    /// How often an utterance is decoded again after a stream was lost.
    pub replays: u32,
    /// Most audio of an utterance that is kept for that. A longer one is lost with its stream.
    pub replay_audio: Duration,
    /// Wait before a host that failed is started again: this, then twice as long each time…
    pub backoff: Duration,
    /// … up to this. It is tried for ever: a model that is put in place later is found.
    pub longest_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            // A live speaker takes about an eighth of a core; twice as many as would fit share what there is, and lag tells.
            max_streams: NonZeroUsize::new(cores * 4).unwrap_or(NonZeroUsize::MIN),
            wait: Duration::from_secs(600),
            restart: Duration::from_secs(5),
            answer: Duration::from_secs(4),
            finish: Duration::from_secs(12),
            fork: Duration::from_secs(4),
            load: Duration::from_secs(60),
            replays: 2,
            replay_audio: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(30),
        }
    }
}
