//! Noise in three colours, and mains hum.

use std::f32::consts::TAU;

use super::{RATE_F, random::Random};

/// How the power of a noise falls with frequency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Not at all.
    White,
    /// 3 dB an octave.
    Pink,
    /// 6 dB an octave.
    Brown,
}

/// So many samples of noise.
#[must_use]
pub fn noise(colour: Colour, samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    match colour {
        Colour::White => (0..samples).map(|_| random.bipolar()).collect(),
        Colour::Brown => {
            let mut level = 0.0;
            let mut step = || {
                // Leaky, so that it does not wander off.
                level = 0.998 * level + 0.05 * random.bipolar();
                level
            };
            (0..samples).map(|_| step()).collect()
        }
        Colour::Pink => {
            // Voss and McCartney: sources that change half as often each add up to a fall of 3 dB an octave.
            let mut sources = [0.0f32; 12];
            let mut step = |n: usize| {
                let which = (n.trailing_zeros() as usize).min(sources.len() - 1);
                sources[which] = random.bipolar();
                (sources.iter().sum::<f32>() + random.bipolar()) / 13.0
            };
            (1..=samples).map(&mut step).collect()
        }
    }
}

/// Mains hum of 50 Hz with the harmonics that a bad ground brings.
#[must_use]
pub fn hum(samples: usize) -> Vec<f32> {
    const HARMONICS: [(f32, f32); 5] = [(1.0, 0.4), (2.0, 0.25), (3.0, 0.2), (5.0, 0.1), (7.0, 0.05)];
    let at = |n: usize| {
        let turns = 50.0 * (n as f32 / RATE_F);
        HARMONICS.iter().map(|(harmonic, gain)| gain * (TAU * (harmonic * turns).fract()).sin()).sum()
    };
    (0..samples).map(at).collect()
}
