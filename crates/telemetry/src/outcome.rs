//! How a session ended, in one word: the same word in the trace and in the metric.

/// The closed list of ends a session can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionOutcome {
    /// The client said `end` and got everything.
    Completed,
    /// The client went away without a word.
    ClientGone,
    /// The client sent nothing for too long.
    ClientIdle,
    /// The client did not read what it was sent.
    SlowReader,
    /// The lag budget was exceeded.
    LagExceeded,
    /// A parameter or message was wrong.
    BadRequest,
    /// A message was too large.
    TooLarge,
    /// No key, a wrong one, or one without the scope.
    Unauthorized,
    /// No such model or language.
    NotFound,
    /// The caller's own limit.
    RateLimited,
    /// No worker was free.
    NoCapacity,
    /// The server is going down.
    Drained,
    /// The engine failed.
    EngineFailed,
    /// The worker was lost.
    WorkerLost,
    /// It goes on elsewhere: how a worker's or a connection's part of a session ends, and never the session itself.
    Moved,
    /// A fault of ours.
    Internal,
}

impl SessionOutcome {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Completed,
        Self::ClientGone,
        Self::ClientIdle,
        Self::SlowReader,
        Self::LagExceeded,
        Self::BadRequest,
        Self::TooLarge,
        Self::Unauthorized,
        Self::NotFound,
        Self::RateLimited,
        Self::NoCapacity,
        Self::Drained,
        Self::EngineFailed,
        Self::WorkerLost,
        Self::Moved,
        Self::Internal,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientGone => "client_gone",
            Self::ClientIdle => "client_idle",
            Self::SlowReader => "slow_reader",
            Self::LagExceeded => "lag_exceeded",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::NoCapacity => "no_capacity",
            Self::Drained => "drained",
            Self::EngineFailed => "engine_failed",
            Self::WorkerLost => "worker_lost",
            Self::Moved => "moved",
            Self::Internal => "internal",
        }
    }

    /// Whether the server is to blame, which is what makes a SERVER span an error.
    pub const fn is_server_fault(self) -> bool {
        matches!(self, Self::LagExceeded | Self::EngineFailed | Self::WorkerLost | Self::Internal)
    }
}
