//! How long a process is waited for: in time that it could have used.
//!
//! On a machine with too few processors a process that does nothing wrong may wait for its turn longer than any limit on
//! its work. Ending it then would only add to the load. So the time it was ready to run and did not get a processor, as
//! the kernel counts it, does not count; that of one that hangs, or computes for ever, does.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// However starved, nobody is waited for more than so many times his limit.
const MOST: u32 = 8;
/// A shorter time is not worth another look.
const MOMENT: Duration = Duration::from_millis(20);

/// A process's number once it is known; 0 before.
#[derive(Debug, Clone, Default)]
pub struct Pid(Arc<AtomicU32>);

impl Pid {
    pub fn set(&self, pid: u32) {
        self.0.store(pid, Ordering::Relaxed);
    }

    /// For how long it has been ready to run without running since it began. Zero where that cannot be known.
    pub fn starved(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            pid => fs::read_to_string(format!("/proc/{pid}/schedstat"))
                .ok()
                .and_then(|text| text.split_whitespace().nth(1)?.parse().ok())
                .map_or(Duration::ZERO, Duration::from_nanos),
        }
    }
}

/// What one process, or several that work one after the other, are given for something.
#[derive(Debug)]
pub struct Patience {
    processes: Vec<Pid>,
    longest: Duration,
    began: Instant,
    /// What they had been starved for when it began.
    before: Duration,
}

impl Patience {
    /// So long, from now on.
    pub fn new(longest: Duration, processes: Vec<Pid>) -> Self {
        let before = starved(&processes);
        Self { processes, longest, began: Instant::now(), before }
    }

    /// Resolves when they have had that long.
    pub async fn exhausted(&self) {
        self.exhausted_with(|| starved(&self.processes)).await;
    }

    async fn exhausted_with(&self, starved: impl Fn() -> Duration) {
        let mut due = self.began + self.longest;
        loop {
            sleep_until(due).await;
            let lost = starved().saturating_sub(self.before).min(self.longest * (MOST - 1));
            let fair = self.began + self.longest + lost;
            if fair < due + MOMENT {
                return;
            }
            due = fair;
        }
    }
}

fn starved(processes: &[Pid]) -> Duration {
    processes.iter().map(Pid::starved).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    /// How long a process is waited for that gets a processor this share of the time.
    async fn waited(share: f64) -> Duration {
        let began = Instant::now();
        Patience::new(LIMIT, Vec::new()).exhausted_with(|| began.elapsed().mul_f64(1.0 - share)).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_a_processor_is_waited_for_no_longer_than_the_limit() {
        assert!(waited(1.0).await <= LIMIT + MOMENT);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_shares_its_processor_gets_the_same_work_done() {
        let half = waited(0.5).await.as_secs_f64();
        assert!((half - 8.0).abs() < 0.1, "{half}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_gets_a_processor_is_not_waited_for_for_ever() {
        let starved = waited(0.0).await;
        assert!(starved <= LIMIT * MOST + MOMENT, "{starved:?}");
    }

    #[test]
    fn the_kernel_counts_it() {
        let pid = Pid::default();
        assert_eq!(pid.starved(), Duration::ZERO, "not known yet");
        pid.set(std::process::id());
        let text = fs::read_to_string("/proc/self/schedstat").unwrap();
        assert_eq!(text.split_whitespace().count(), 3, "{text}");
    }
}
