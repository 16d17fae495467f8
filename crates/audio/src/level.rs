//! How loud a piece of audio is, and where it is quietest.

/// RMS level in dB relative to full scale: 0 for a square wave at full scale, about −3 for such a sine.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Level(f32);

impl Level {
    /// Digital silence, and the level of no samples at all. Below what 16 bits can express otherwise.
    pub const SILENCE: Self = Self(-100.0);

    /// The level of these samples. The mean is taken off first: a sound card's offset is not loudness.
    #[must_use]
    pub fn of(samples: &[i16]) -> Self {
        if samples.is_empty() {
            return Self::SILENCE;
        }
        let count = samples.len() as f64;
        let sum: i64 = samples.iter().map(|&sample| i64::from(sample)).sum();
        let squares: i64 = samples.iter().map(|&sample| i64::from(i32::from(sample) * i32::from(sample))).sum();
        let mean = sum as f64 / count;
        let power = (squares as f64 / count - mean * mean) / (32_768.0 * 32_768.0);
        if power <= 0.0 {
            return Self::SILENCE;
        }
        Self((10.0 * power.log10()) as f32).max(Self::SILENCE)
    }

    /// In dB relative to full scale, from −100 to 0.
    #[must_use]
    pub const fn dbfs(self) -> f32 {
        self.0
    }

    fn max(self, other: Self) -> Self {
        if self < other { other } else { self }
    }
}

/// Where to cut: the index in the middle of the quietest `width` neighbours of `levels`; of equals the last, so that the
/// piece before the cut is as long as it can be. `width` keeps a cut out of the closure of a plosive, which is as quiet as a pause but
/// shorter: 5 frames of 20 ms serve. With fewer levels than `width` all of them are the neighbours; `None` only when
/// there are none.
#[must_use]
pub fn quietest(levels: &[Level], width: usize) -> Option<usize> {
    let width = width.clamp(1, levels.len().max(1));
    let mean = |window: &[Level]| window.iter().map(|level| level.0).sum::<f32>();
    levels
        .windows(width)
        .map(mean)
        .enumerate()
        .min_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)))
        .map(|(start, _)| start + width / 2)
}
