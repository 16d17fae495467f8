//! How many messages or requests a client may send.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: so many at once, so many a second in the long run.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second: per_second.into(), burst: burst.into(), tokens: burst.into(), filled: now }
    }

    /// Whether one more is allowed.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = self.burst.min(self.tokens + refill);
        self.filled = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }

    /// After one that was not: how long until one is.
    pub(crate) fn until_next(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50, 100, start);
        let passed = |bucket: &mut Bucket, at: Instant, tries: usize| (0..tries).filter(|_| bucket.take(at)).count();
        assert_eq!(passed(&mut bucket, start, 500), 100);
        assert_eq!(passed(&mut bucket, start + Duration::from_secs(1), 500), 50);
        assert_eq!(
            passed(&mut bucket, start + Duration::from_secs(3_600), 500),
            100,
            "rest does not add up beyond the burst"
        );
    }
}
