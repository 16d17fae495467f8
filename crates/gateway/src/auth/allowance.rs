//! How much one key may have: so many of something at once, so many requests a second. Each is a few words of memory a key.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rate::Bucket;

/// Places of which so many can be taken at once.
#[derive(Debug)]
pub(super) struct Allowance {
    taken: AtomicU32,
    limit: u32,
}

impl Allowance {
    /// No limit is one that nobody reaches.
    pub(super) fn new(limit: Option<u32>) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), limit: limit.unwrap_or(u32::MAX) })
    }

    /// A place; how many are taken, if that is all.
    pub(super) fn take(self: &Arc<Self>) -> Result<Seat, u32> {
        let take = |taken: u32| (taken < self.limit).then_some(taken + 1);
        self.taken.try_update(Relaxed, Relaxed, take).map(|_| Seat(self.clone()))
    }

    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Allowance>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

/// Requests a second; a second's worth may come at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    // A std-like mutex: it is held for a few additions and no await.
    bucket: Mutex<Bucket>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, bucket: Mutex::new(Bucket::new(per_second, per_second, Instant::now())) }
    }

    /// One request; how long to wait, if that is one too many.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock();
        if bucket.take(now) { Ok(()) } else { Err(bucket.until_next()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.per_second.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_as_long_as_told_is_served() {
        let now = Instant::now();
        let rate = Rate::new(2);
        assert!(rate.take(now).is_ok() && rate.take(now).is_ok());
        let wait = rate.take(now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(rate.take(now + wait - Duration::from_millis(10)).is_err());
        assert!(rate.take(now + wait).is_ok());
    }

    #[test]
    fn no_limit_is_never_reached() {
        let allowance = Allowance::new(None);
        let seats: Vec<_> = (0..1_000).map(|_| allowance.take().unwrap()).collect();
        assert_eq!(allowance.taken(), 1_000);
        drop(seats);
        assert_eq!(allowance.taken(), 0);
    }
}
