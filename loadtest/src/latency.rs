//! Latencies in HDR histograms: three significant digits from a microsecond to an hour, in constant memory.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::duration::shown;

const LONGEST_US: u64 = 3_600_000_000;

/// One distribution of latencies.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are allowed ones"))
    }
}

impl Latency {
    /// Counts one. What is longer than an hour counts as an hour.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US));
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The least that this share, 0 to 1, does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(if self.0.is_empty() { 0 } else { self.0.value_at_quantile(share) })
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// The percentiles that are reported; `None` when nothing was counted.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        let millis = |share: f64| self.quantile(share).as_secs_f64() * 1_000.0;
        (self.count() > 0).then(|| Summary {
            count: self.count(),
            p50: millis(0.5),
            p95: millis(0.95),
            p99: millis(0.99),
            p999: millis(0.999),
            max: millis(1.0),
        })
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many were counted.
    pub count: u64,
    /// Half are not above this.
    pub p50: f64,
    /// 95 % are not above this.
    pub p95: f64,
    /// 99 % are not above this.
    pub p99: f64,
    /// 99.9 % are not above this.
    pub p999: f64,
    /// None is above this.
    pub max: f64,
}

impl Summary {
    /// As the cells of a table: count, then the percentiles.
    #[must_use]
    pub fn cells(&self) -> [String; 6] {
        let time = |millis: f64| shown(Duration::from_secs_f64(millis / 1_000.0));
        let Self { count, p50, p95, p99, p999, max } = *self;
        [count.to_string(), time(p50), time(p95), time(p99), time(p999), time(max)]
    }
}

/// What is timed. All are counted from the schedule, not from when the generator came round to it, but for
/// [`Moment::Blocked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// From when the session was to be opened to `session.begin`.
    Begin,
    /// From the audio of `vad.speech_start` to the first partial of its utterance.
    FirstPartial,
    /// From the audio that a partial covers to the partial: how far captions are behind.
    Caption,
    /// From the audio of `vad.speech_end` to the final, the endpointing time included: what a viewer waits.
    Final,
    /// From the audio that completes the endpointing time to the final: what the server takes.
    BeyondEndpointing,
    /// From the last audio to `session.end`.
    End,
    /// How late the generator itself woke up to send: its own fault, in every figure above.
    Wake,
    /// How long the server took to take a frame.
    Blocked,
    /// From when a job was to be submitted to the answer that says it was accepted.
    Accepted,
    /// From when a job was to be submitted to its end.
    Completed,
}

impl Moment {
    /// Every one, in the order of a session.
    pub const ALL: [Self; 10] = [
        Self::Begin,
        Self::FirstPartial,
        Self::Caption,
        Self::Final,
        Self::BeyondEndpointing,
        Self::End,
        Self::Wake,
        Self::Blocked,
        Self::Accepted,
        Self::Completed,
    ];

    /// Its name in JSON.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Begin => "connect_to_begin_ms",
            Self::FirstPartial => "speech_start_to_first_partial_ms",
            Self::Caption => "partial_behind_audio_ms",
            Self::Final => "end_of_speech_to_final_ms",
            Self::BeyondEndpointing => "final_beyond_endpointing_ms",
            Self::End => "last_audio_to_session_end_ms",
            Self::Wake => "generator_late_ms",
            Self::Blocked => "frame_taken_ms",
            Self::Accepted => "submit_to_accepted_ms",
            Self::Completed => "submit_to_completed_ms",
        }
    }

    /// Its name in a table.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Begin => "connect → session.begin",
            Self::FirstPartial => "start of speech → first partial",
            Self::Caption => "partials behind the audio",
            Self::Final => "end of speech → final",
            Self::BeyondEndpointing => "… beyond the endpointing time",
            Self::End => "last audio → session.end",
            Self::Wake => "generator late to send",
            Self::Blocked => "server took a frame in",
            Self::Accepted => "submit → accepted",
            Self::Completed => "submit → completed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_three_digits() {
        let mut latency = Latency::default();
        (1..=1_000).for_each(|millis| latency.record(Duration::from_millis(millis)));
        let summary = latency.summary().unwrap();
        assert_eq!(summary.count, 1_000);
        for (is, should) in [(summary.p50, 500.0), (summary.p95, 950.0), (summary.p99, 990.0), (summary.max, 1_000.0)] {
            assert!((is / should - 1.0).abs() < 0.001, "{is} is not {should}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_its_end() {
        let mut latency = Latency::default();
        latency.record(Duration::ZERO);
        latency.record(Duration::from_secs(1_000_000));
        assert_eq!(latency.count(), 2);
        assert_eq!(latency.quantile(0.1), Duration::from_micros(1));
        assert!(latency.quantile(1.0) >= Duration::from_secs(3_600));
    }

    #[test]
    fn nothing_counted_is_no_summary() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(1));
        latency.reset();
        assert_eq!(latency.summary(), None);
    }
}
