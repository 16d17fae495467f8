//! The bounded pool: a slot per stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dalston_engine_sdk::EngineError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The pool at one instant: for gauges and counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Streams that are taken.
    pub in_use: usize,
    /// Streams there can be.
    pub limit: usize,
    /// Utterances that wait for one.
    pub waiting: usize,
    /// Hosts that were started again, since the start.
    pub restarts: u64,
    /// Utterances that were decoded again after their stream was lost, since the start.
    pub replays: u64,
}

/// Hands out slots, first come, first served.
#[derive(Debug)]
pub struct Pool {
    slots: Arc<Semaphore>,
    limit: usize,
    waiting: AtomicUsize,
    pub restarts: AtomicU64,
    pub replays: AtomicU64,
}

/// The right to one stream. Shared by the utterance and by the process that serves it: it is free again when both are gone,
/// so an utterance keeps its turn when its stream has to be replaced, and a process that is slow to die still counts.
pub type Slot = Arc<OwnedSemaphorePermit>;

impl Pool {
    pub fn new(limit: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(limit)),
            limit,
            waiting: AtomicUsize::new(0),
            restarts: AtomicU64::new(0),
            replays: AtomicU64::new(0),
        }
    }

    /// Waits for a slot, in turn, and says how long it took. Dropping the future gives up the turn.
    pub async fn take(&self, longest: Duration) -> Result<(Slot, Duration), EngineError> {
        let began = Instant::now();
        let _waiting = Waiting::new(&self.waiting);
        match tokio::time::timeout(longest, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok((Arc::new(slot), began.elapsed())),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(EngineError::Busy(longest)),
        }
    }

    pub fn stats(&self) -> PoolStats {
        PoolStats {
            in_use: self.limit - self.slots.available_permits(),
            limit: self.limit,
            waiting: self.waiting.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            replays: self.replays.load(Ordering::Relaxed),
        }
    }
}

/// Counts one that waits, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
