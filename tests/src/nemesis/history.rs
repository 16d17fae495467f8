//! What happened in a run, as those saw it who took part: an append-only log of what was asked, said and answered.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::Fault;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Since the run began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// Sessions and lives of processes are numbered from 0 as they begin; jobs, tasks and messages have the names that the server
/// gave them.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A fault begins, and lasts so long.
    Fault {
        /// What is done.
        fault: Fault,
        /// Until it is undone.
        lasts: Duration,
    },
    /// A gateway is killed, and its connections with it.
    GatewayKilled {
        /// Its life.
        life: usize,
    },
    /// A process that was asked to end has ended.
    Exited {
        /// Its role and number.
        who: String,
        /// With 0.
        well: bool,
    },
    /// A line of a log that says that something panicked.
    Panicked {
        /// The line.
        line: String,
    },

    /// `session.begin` was heard.
    Begun {
        /// The session.
        session: usize,
        /// Whose words are said in it.
        voice: usize,
        /// The lives of the gateways that may serve it: one, if it cannot be taken up again elsewhere.
        gateways: Vec<usize>,
    },
    /// The client has sent all of its audio, and `end`.
    SaidAll {
        /// The session.
        session: usize,
    },
    /// A final was heard.
    Final {
        /// The session.
        session: usize,
        /// Seconds of its audio.
        start: f64,
        /// Seconds of its audio.
        end: f64,
        /// The words.
        text: String,
    },
    /// The client was told that another worker goes on.
    Moved {
        /// The session.
        session: usize,
    },
    /// The client was told that audio is lost.
    Gap {
        /// The session.
        session: usize,
    },
    /// The session is over for its client.
    Ended {
        /// The session.
        session: usize,
        /// How.
        how: End,
    },
    /// A connection came to no session.
    Refused {
        /// The close code; none when there was no WebSocket.
        code: Option<u16>,
    },

    /// A file was accepted under this key.
    Accepted {
        /// The idempotency key.
        key: String,
        /// Which recording it is.
        recording: usize,
        /// The job.
        job: String,
    },
    /// A job as it is at the end of the run.
    JobIs {
        /// The job.
        job: String,
        /// Its status.
        status: String,
        /// Its transcript.
        text: Option<String>,
    },
    /// A runner says that its attempt has committed.
    Committed {
        /// The task.
        task: String,
    },
    /// A webhook was told of a job's end.
    Told {
        /// The message's id.
        message: String,
        /// The job.
        job: String,
        /// Whether its result could be read by then; none when no gateway answered.
        readable: Option<bool>,
    },
    /// No fault is left, no session and no job; a worker's slots by the registry.
    Slots {
        /// The worker, with its health.
        worker: String,
        /// Its slots in use.
        used: u64,
    },
    /// What did not come about in its time.
    Overdue {
        /// What.
        what: String,
    },
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With a close frame.
    Closed {
        /// The code.
        code: u16,
        /// The server's words.
        reason: String,
        /// `session.end` was heard before.
        whole: bool,
    },
    /// Without one.
    Broken(String),
    /// The client left it, by design.
    Left,
    /// Nothing more was heard.
    Hung,
}

impl What {
    /// The session that it is about.
    pub fn session(&self) -> Option<usize> {
        match self {
            Self::Begun { session, .. }
            | Self::SaidAll { session }
            | Self::Final { session, .. }
            | Self::Moved { session }
            | Self::Gap { session }
            | Self::Ended { session, .. } => Some(*session),
            _ => None,
        }
    }

    /// The job that it is about.
    pub fn job(&self) -> Option<&str> {
        match self {
            Self::Accepted { job, .. } | Self::JobIs { job, .. } | Self::Told { job, .. } => Some(job),
            _ => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} {:?}", self.at.as_secs_f64(), self.what)
    }
}

/// Shared by all who take part. Bounded by the length of the run: nobody writes more than some lines a second.
#[derive(Debug, Clone)]
pub struct History {
    began: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    sessions: Arc<Mutex<usize>>,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), entries: Arc::default(), sessions: Arc::default() }
    }
}

impl History {
    /// Writes a line.
    pub fn push(&self, what: What) {
        // Under the lock, so that lines are in the order of their times.
        let mut entries = self.entries.lock();
        entries.push(Entry { at: self.began.elapsed(), what });
    }

    /// A number for a session.
    pub fn session(&self) -> usize {
        let mut next = self.sessions.lock();
        *next += 1;
        *next - 1
    }

    /// How a time is written here.
    pub fn at(&self, time: Instant) -> Duration {
        time.saturating_duration_since(self.began)
    }

    /// All of it so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().clone()
    }
}
