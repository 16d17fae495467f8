//! Is this sound a voice? A running judgement over the last second of it.
//!
//! Logistic regression on four statistics of the sounding frames: mean and spread of earshot's score, spread of the
//! zero-crossing rate, and mean steadiness of the partials. Noise fails by its low score, music by being too even. The
//! weights were fitted to flite's voices and recorded speech, clean, over the telephone and in noise, against noise of all
//! sorts, General MIDI and recorded music; weights fitted to either half of this material judge the other half alike. How they
//! do is in docs/vad.md, which `examples/vad_table` makes.

use super::texture::Grain;

/// Frames that the statistics remember: one second.
const MEMORY: f32 = 50.0;
/// Before this many frames the statistics say nothing.
const SETTLED: u32 = 20;

const SPREAD_OF_CROSSINGS: f32 = 2.5;
const STEADINESS: f32 = -10.0;
const MEAN_SCORE: f32 = 20.0;
const SPREAD_OF_SCORE: f32 = 36.0;
const BIAS: f32 = -11.3;

/// One second of certainty is not more than this, so that the next can change it.
const CERTAIN: f32 = 4.0;

/// What has been heard of one sound.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    crossings: Moments,
    steadiness: Moments,
    score: Moments,
    belief: Moments,
}

impl Evidence {
    pub(super) fn weigh(&mut self, grain: Grain, score: f32) {
        self.crossings.add(grain.crossings);
        if let Some(steadiness) = grain.steadiness {
            self.steadiness.add(steadiness);
        }
        self.score.add(score);
        if self.frames() >= SETTLED {
            self.belief.add(self.log_odds());
        }
    }

    /// Frames weighed.
    pub(super) fn frames(&self) -> u32 {
        self.score.count
    }

    /// Log odds of a voice, smoothed over a second: above zero rather yes, below rather no. Zero while nothing can be said.
    pub(super) fn belief(&self) -> f32 {
        self.belief.mean
    }

    /// Mean of earshot's score.
    pub(super) fn score(&self) -> f32 {
        self.score.mean
    }

    fn log_odds(&self) -> f32 {
        let odds = BIAS
            + SPREAD_OF_CROSSINGS * (self.crossings.deviation() + 0.01).ln()
            + STEADINESS * self.steadiness.mean
            + MEAN_SCORE * self.score.mean
            + SPREAD_OF_SCORE * self.score.deviation();
        odds.clamp(-CERTAIN, CERTAIN)
    }
}

/// Mean and variance: of all values while there are few, then with exponential forgetting.
#[derive(Debug, Default)]
struct Moments {
    count: u32,
    mean: f32,
    variance: f32,
}

impl Moments {
    fn add(&mut self, value: f32) {
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / self.count as f32).max(1.0 / MEMORY);
        let difference = value - self.mean;
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
    }

    fn deviation(&self) -> f32 {
        self.variance.max(0.0).sqrt()
    }
}
