//! How far processing is behind the live audio, and how long that is borne.
//!
//! Lag is received minus processed audio, in true audio time at the client's own rate. What a client sends ahead of real time
//! (a file at full speed, the catch-up after a network pause) is not lag: it is slowed by back-pressure instead. So lag is
//! measured against a *playout clock*, which runs in real time and never ahead of what was received. For a client that
//! sends at its own pace the two are the same.
//!
//! To wait for a stream of a full engine is lag too, for a client that is live. One that is ahead of the clock has audio to
//! spare: its clock stands still meanwhile, so that it waits instead of being ended.

use std::time::Duration;

use tokio::time::Instant;

/// From when a client is warned, and when the session ends.
#[derive(Debug, Clone, Copy)]
pub struct LagLimits {
    /// Lag from which the client is warned, at most once a second.
    pub warning: Duration,
    /// Lag that ends the session when it lasts for `grace`.
    pub hard: Duration,
    /// How long `hard` is borne.
    pub grace: Duration,
}

impl Default for LagLimits {
    fn default() -> Self {
        Self { warning: Duration::from_secs(3), hard: Duration::from_secs(5), grace: Duration::from_secs(2) }
    }
}

/// A live client is ahead of the playout clock by less: by its message, or a hiccup of its network.
const AHEAD: Duration = Duration::from_secs(2);

const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// What to do about the lag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    Fine,
    Warn(Duration),
    Exceeded(Duration),
}

/// Watches the lag of one session.
#[derive(Debug)]
pub(crate) struct LagBudget {
    limits: LagLimits,
    playout: Duration,
    observed: Option<Instant>,
    over_since: Option<Instant>,
    warned: Option<Instant>,
    lag: Duration,
    max: Duration,
    catching_up: Option<CatchingUp>,
}

/// A worker hears again what another one had heard, faster than it was spoken.
#[derive(Debug, Clone, Copy)]
struct CatchingUp {
    /// Real time that it may take: as long as it took to speak.
    within: Duration,
    passed: Duration,
}

/// Audio behind what was received that a worker may be and have caught up.
const CAUGHT_UP: Duration = Duration::from_millis(500);

impl LagBudget {
    pub(crate) fn new(limits: LagLimits) -> Self {
        let zero = Duration::ZERO;
        Self {
            limits,
            playout: zero,
            observed: None,
            over_since: None,
            warned: None,
            lag: zero,
            max: zero,
            catching_up: None,
        }
    }

    /// So much audio comes at once, because another worker has died or gone down. It is lag only when this one does not get
    /// through it in the time in which it was spoken.
    pub(crate) fn catch_up(&mut self, within: Duration) {
        self.catching_up = Some(CatchingUp { within, passed: Duration::ZERO });
    }

    /// The lag when it was last observed.
    pub(crate) fn lag(&self) -> Duration {
        self.lag
    }

    /// The greatest lag that was observed.
    pub(crate) fn max(&self) -> Duration {
        self.max
    }

    /// Both are audio since the session's first sample. `waiting` says that a recogniser waits for its turn at the engine.
    pub(crate) fn observe(&mut self, now: Instant, received: Duration, processed: Duration, waiting: bool) -> Verdict {
        let passed = self.observed.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        self.observed = Some(now);
        if let Some(CatchingUp { within, passed: so_far }) = &mut self.catching_up {
            *so_far += passed;
            let has_caught_up = received >= *within && received.saturating_sub(processed) <= CAUGHT_UP;
            if !has_caught_up && *so_far < *within {
                return Verdict::Fine;
            }
            self.playout = received;
            self.catching_up = None;
        }
        let can_wait = waiting && received.saturating_sub(self.playout) > AHEAD;
        if !can_wait {
            self.playout = (self.playout + passed).min(received);
        }
        self.lag = self.playout.saturating_sub(processed);
        self.max = self.max.max(self.lag);

        if self.lag < self.limits.hard {
            self.over_since = None;
        } else if now.saturating_duration_since(*self.over_since.get_or_insert(now)) >= self.limits.grace {
            return Verdict::Exceeded(self.lag);
        }
        let silent = self.warned.is_none_or(|then| now.saturating_duration_since(then) >= WARNING_INTERVAL);
        if self.lag >= self.limits.warning && silent {
            self.warned = Some(now);
            return Verdict::Warn(self.lag);
        }
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes every 100 ms for `seconds`; `at` gives received and processed audio, in seconds, after so many seconds.
    /// Returns the warnings and the moment at which the budget was exceeded.
    fn run(seconds: f64, at: impl Fn(f64) -> (f64, f64)) -> (usize, Option<f64>) {
        run_waiting(seconds, false, at)
    }

    fn run_waiting(seconds: f64, waiting: bool, at: impl Fn(f64) -> (f64, f64)) -> (usize, Option<f64>) {
        let start = Instant::now();
        let mut budget = LagBudget::new(LagLimits::default());
        let mut warnings = 0;
        for tick in 0..=(seconds * 10.0) as u32 {
            let t = f64::from(tick) / 10.0;
            let (received, processed) = at(t);
            let now = start + Duration::from_millis(u64::from(tick) * 100);
            match budget.observe(now, Duration::from_secs_f64(received), Duration::from_secs_f64(processed), waiting) {
                Verdict::Fine => {}
                Verdict::Warn(_) => warnings += 1,
                Verdict::Exceeded(_) => return (warnings, Some(t)),
            }
        }
        (warnings, None)
    }

    #[test]
    fn an_engine_that_keeps_up_has_no_lag() {
        assert_eq!(run(60.0, |t| (t, (t - 0.2).max(0.0))), (0, None));
    }

    #[test]
    fn a_stalled_engine_is_warned_of_from_3_seconds_and_ends_the_session_after_7() {
        assert_eq!(run(60.0, |t| (t, 0.0)), (4, Some(7.0)));
    }

    #[test]
    fn a_short_stall_is_borne() {
        assert_eq!(run(60.0, |t| (t, if t < 6.0 { 0.0 } else { t })), (3, None));
    }

    #[test]
    fn audio_sent_ahead_of_real_time_is_not_lag() {
        assert_eq!(run(60.0, |t| (t * 20.0, (t * 8.0 + 1.0).min(t * 20.0))), (0, None));
    }

    #[test]
    fn a_flood_does_not_hide_a_stalled_engine() {
        assert_eq!(run(60.0, |t| ((t * 20.0).min(10.0), 0.0)).1, Some(7.0));
    }

    #[test]
    fn a_live_client_that_waits_for_a_stream_lags() {
        assert_eq!(run_waiting(60.0, true, |t| (t, 0.0)), (4, Some(7.0)));
        assert_eq!(run_waiting(60.0, true, |t| (t.ceil(), 0.0)).1, Some(7.0), "in messages of a second too");
    }

    #[test]
    fn a_client_ahead_of_real_time_waits_for_a_stream_without_lag() {
        assert_eq!(run_waiting(600.0, true, |t| ((t * 20.0).min(10.0), 0.0)), (0, None), "a flood, held back");
        assert_eq!(run_waiting(600.0, true, |t| ((t * 2.0).min(10.0), 0.0)), (0, None), "twice real time");
        assert_eq!(run_waiting(600.0, true, |_| (4.5, 0.0)).1, None, "a short file");
    }

    #[test]
    fn what_another_worker_had_heard_is_caught_up_with_and_lag_counts_from_then_on() {
        let start = Instant::now();
        let exceeded = |processed: &dyn Fn(f64) -> f64| {
            let mut budget = LagBudget::new(LagLimits::default());
            budget.catch_up(Duration::from_secs(30));
            (0..=900).map(|tick| f64::from(tick) / 10.0).find(|t| {
                // 30 s within the first 3 s, then live.
                let received = (t * 10.0).min(30.0 + (t - 3.0).max(0.0));
                let seconds = Duration::from_secs_f64;
                let now = start + seconds(*t);
                let verdict = budget.observe(now, seconds(received), seconds(processed(*t).min(received)), false);
                matches!(verdict, Verdict::Exceeded(_))
            })
        };
        assert_eq!(exceeded(&|t| t * 3.0), None, "three times as fast as it is spoken");
        assert_eq!(exceeded(&|t| t * 0.9), Some(32.0), "never: it has as long as it took to speak");
        let stalls_later = exceeded(&|t| if t < 50.0 { t * 3.0 } else { 77.0 }).expect("it is not live any more");
        assert!((56.0..58.0).contains(&stalls_later), "{stalls_later}");
    }

    #[test]
    fn catching_up_after_a_network_pause_is_not_lag() {
        let received = |t: f64| {
            if t < 10.0 {
                t
            } else if t < 30.0 {
                10.0
            } else {
                t
            }
        };
        assert_eq!(run(60.0, |t| (received(t), received(t).min(10.0 + (t - 30.0).max(0.0) * 8.0))), (0, None));
    }
}
