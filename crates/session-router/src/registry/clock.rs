//! The time of one process, which stands still while the process does.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two beats.
pub(super) const BEAT: Duration = Duration::from_millis(500);
/// Without a beat for this long, the process stood still: it was stopped, or its machine was.
const STANDSTILL: Duration = Duration::from_secs(2);

/// Leases are for holders that may die alone. When holder, worker and registry stop together, nothing could be renewed and
/// nothing could be given to others, so the time of a standstill does not count.
#[derive(Debug, Default)]
pub(super) struct Clock {
    stood_still: Duration,
    /// The last beat. Without any, every time counts.
    beat: Option<Instant>,
}

impl Clock {
    pub(super) fn now(&mut self) -> Instant {
        let now = Instant::now();
        // Seen here, and not only at the next beat: whoever comes first after a standstill must not find everything expired.
        if let Some(beat) = &mut self.beat {
            let silence = now - *beat;
            if silence > STANDSTILL {
                self.stood_still += silence - BEAT;
                *beat = now;
            }
        }
        now - self.stood_still
    }

    pub(super) fn beat(&mut self) {
        self.now();
        self.beat = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_standstill_does_not_count() {
        let mut clock = Clock::default();
        let start = clock.now();
        advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(60), "nobody beats");
        clock.beat();
        for _ in 0..8 {
            advance(BEAT).await;
            clock.beat();
        }
        assert_eq!(clock.now() - start, Duration::from_secs(64));
        advance(Duration::from_secs(3_600)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(64) + BEAT);
        advance(BEAT).await;
        assert_eq!(clock.now() - start, Duration::from_secs(64) + 2 * BEAT, "and then it goes on");
    }
}
