//! How everything here is measured: in processor time, and shortly.
//!
//! All groups together end within five minutes on two busy cores. For less noise,
//! `cargo bench -p dalston-benches -- --measurement-time 10 --sample-size 100`.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Half a second of samples for each row, after a tenth to warm up.
pub fn short() -> Criterion<ThreadTime> {
    Criterion::default()
        .with_measurement(ThreadTime)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(30)
}

/// The time for which the thread had a processor. What others do on the machine meanwhile takes none of it, though they
/// take the caches. Nothing that is measured here waits, and what other threads do for it is theirs.
pub struct ThreadTime;

impl ThreadTime {
    /// What the calling thread has used so far. A system call: a quarter of a microsecond.
    pub fn now() -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
    }

    /// What the calling thread has used since then.
    pub fn since(then: Duration) -> Duration {
        Self::now() - then
    }
}

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::since(start)
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
