//! How long an answer is waited for.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::EgressError;

/// Two limits at once: of each silence, and of the whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    idle: Duration,
    total: Duration,
    deadline: Instant,
}

impl Patience {
    pub(crate) fn new(idle: Duration, total: Duration) -> Self {
        Self { idle, total, deadline: Instant::now() + total }
    }

    /// Waits for one thing, as long as a silence may be.
    pub(crate) async fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T, EgressError> {
        self.wait_for(self.idle, what).await
    }

    /// Waits for one thing, this long at most.
    pub(crate) async fn wait_for<T>(&self, limit: Duration, what: impl Future<Output = T>) -> Result<T, EgressError> {
        let until = (Instant::now() + limit).min(self.deadline);
        timeout_at(until, what).await.map_err(|_| {
            if until == self.deadline { EgressError::Timeout(self.total) } else { EgressError::Idle(limit) }
        })
    }
}
