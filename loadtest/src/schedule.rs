//! When everything is due: decided before the run, never moved by how the server does.
//!
//! That is what makes a load generator open-loop. A session that is blocked falls behind its own schedule, all latencies are
//! counted from the schedule, and so a server cannot look better by slowing its clients (coordinated omission).

use std::time::Duration;

use tokio::time::Instant;

/// When each session begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// When the first begins.
    pub start: Instant,
    /// Sessions in all.
    pub sessions: usize,
    /// From the first session to the last.
    pub ramp: Duration,
    /// Sessions must not march in step, else all send in the same millisecond; each is put off by another part of this.
    pub jitter: Duration,
}

/// The fractional part of the golden ratio: its multiples fill 0 to 1 most evenly.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Arrivals {
    /// When session `n` of them, from 0, begins.
    #[must_use]
    pub fn due(&self, n: usize) -> Instant {
        let step = self.ramp.as_secs_f64() / self.sessions.saturating_sub(1).max(1) as f64;
        let jitter = (n as f64 * GOLDEN).fract() * self.jitter.as_secs_f64();
        self.start + Duration::from_secs_f64(step * n as f64 + jitter)
    }
}

/// When each frame of a session is due, and with it every moment of its audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// When the speaker begins.
    pub start: Instant,
    /// Audio in one frame.
    pub frame: Duration,
    /// Times faster than life; infinite sends everything at once.
    pub speed: f64,
}

impl Pace {
    /// When frame `n`, from 0, is due: a microphone has it when its last sample was spoken.
    #[must_use]
    pub fn due(&self, n: usize) -> Instant {
        self.start + Duration::from_secs_f64(self.frame.as_secs_f64() * (n + 1) as f64 / self.speed)
    }

    /// When the frame is due that brings the audio up to here, seconds since the first sample. What is known from that audio
    /// cannot be known before.
    #[must_use]
    pub fn due_of(&self, audio: f64) -> Instant {
        // Times come rounded to the millisecond; half of one must not cost a frame.
        let frames = (audio - 0.000_5) / self.frame.as_secs_f64();
        self.due(frames.max(0.0).floor() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(speed: f64) -> Pace {
        Pace { start: Instant::now(), frame: Duration::from_millis(100), speed }
    }

    #[test]
    fn a_frame_is_due_when_its_last_sample_was_spoken() {
        let live = pace(1.0);
        assert_eq!(live.due(0), live.start + Duration::from_millis(100));
        assert_eq!(live.due(9), live.start + Duration::from_secs(1));
        let double = pace(2.0);
        assert_eq!(double.due(9), double.start + Duration::from_millis(500));
        let at_once = pace(f64::INFINITY);
        assert_eq!(at_once.due(1_000), at_once.start);
    }

    #[test]
    fn audio_is_known_with_the_frame_that_brings_its_last_sample() {
        let pace = pace(1.0);
        let check = |audio: f64, millis: u64| {
            assert_eq!(pace.due_of(audio), pace.start + Duration::from_millis(millis), "{audio} s");
        };
        check(0.0, 100);
        check(0.02, 100);
        check(0.1, 100);
        check(0.12, 200);
        check(1.0, 1_000);
        check(1.001, 1_100);
    }

    #[test]
    fn arrivals_fill_the_ramp_evenly_and_never_march_in_step() {
        let start = Instant::now();
        let jitter = Duration::from_millis(100);
        let arrivals = Arrivals { start, sessions: 101, ramp: Duration::from_secs(10), jitter };
        let mut phases = Vec::new();
        for n in 0..101 {
            let after = arrivals.due(n) - start;
            let even = Duration::from_millis(100) * n as u32;
            assert!(after >= even && after < even + jitter, "session {n} begins after {after:?}");
            phases.push(after.subsec_micros() % 100_000);
        }
        phases.sort_unstable();
        let widest = phases.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < 3_000, "nothing is sent for {widest} µs of each frame");
    }

    #[test]
    fn one_session_begins_at_once() {
        let start = Instant::now();
        let arrivals = Arrivals { start, sessions: 1, ramp: Duration::from_secs(10), jitter: Duration::ZERO };
        assert_eq!(arrivals.due(0), start);
    }
}
