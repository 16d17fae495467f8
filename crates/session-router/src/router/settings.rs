//! How patient the router is.

use std::time::Duration;

/// The router's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterSettings {
    /// How long a slot stays taken after its holder died. Renewed each third of it.
    pub lease_ttl: Duration,
    /// How long one worker may take to accept a session. Shorter than `lease_ttl`.
    pub open_deadline: Duration,
    /// Workers that are tried for one session.
    pub max_attempts: usize,
    /// How long a worker that does not answer gets no sessions.
    pub cool_down: Duration,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(15),
            open_deadline: Duration::from_secs(2),
            max_attempts: 3,
            cool_down: Duration::from_secs(5),
        }
    }
}
