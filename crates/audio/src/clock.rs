//! The one audio clock: samples at 16 kHz since the first one.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// The rate of everything behind the [`Resampler`](crate::Resampler), in samples a second.
pub const SAMPLE_RATE: u32 = 16_000;

/// A point or a span on a session's audio clock, counted in samples of [`SAMPLE_RATE`] so that it never rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudioTime(u64);

impl AudioTime {
    /// The first sample.
    pub const ZERO: Self = Self(0);

    /// After this many samples of 16 kHz.
    #[must_use]
    pub const fn from_samples(samples: u64) -> Self {
        Self(samples)
    }

    /// After this many milliseconds of audio. Exact: a millisecond is 16 samples.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * (SAMPLE_RATE as u64 / 1000))
    }

    /// As samples of 16 kHz.
    #[must_use]
    pub const fn samples(self) -> u64 {
        self.0
    }

    /// As seconds, the unit that clients read.
    #[must_use]
    pub fn seconds(self) -> f64 {
        // Exact below 2^53 samples, which is eighteen thousand years.
        self.0 as f64 / f64::from(SAMPLE_RATE)
    }

    /// As a duration, rounded down to a nanosecond.
    #[must_use]
    pub fn duration(self) -> Duration {
        let rate = u64::from(SAMPLE_RATE);
        Duration::from_secs(self.0 / rate) + Duration::from_nanos(self.0 % rate * 1_000_000_000 / rate)
    }

    /// `self − other`, or zero where `other` is later.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for AudioTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for AudioTime {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// Panics in debug builds when `other` is later; [`AudioTime::saturating_sub`] does not.
impl Sub for AudioTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
