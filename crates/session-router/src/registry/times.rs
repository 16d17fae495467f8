//! How long workers may be silent, and when it makes sense to ask again.

use std::time::Duration;

/// How long workers may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryTimes {
    /// Without a heartbeat for this long a worker gets no sessions.
    pub worker_ttl: Duration,
    /// Without a heartbeat for this long it is forgotten. Until then its models count as existing, so that clients are asked
    /// to come back rather than told that there is no such model.
    pub forget_after: Duration,
}

impl Default for RegistryTimes {
    fn default() -> Self {
        Self { worker_ttl: Duration::from_secs(9), forget_after: Duration::from_secs(60) }
    }
}

impl RegistryTimes {
    /// When a slot may be free again that is merely in use: sessions end all the time.
    pub(super) const BUSY_RETRY: Duration = Duration::from_secs(2);
    /// No client is asked to come back sooner.
    pub(super) const MIN_RETRY: Duration = Duration::from_secs(1);

    /// When a worker that was lost may be back, or one that is starting be there.
    pub(super) fn retry_lost(&self) -> Duration {
        self.worker_ttl.max(Self::MIN_RETRY)
    }

    /// How long a lease lives that its worker brought back, until its holder renews it.
    pub(super) fn held_ttl(&self) -> Duration {
        2 * self.worker_ttl
    }
}
