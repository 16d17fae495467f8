//! Sounds made here, so that a run needs no file: something like speech, and much that is not speech.
//!
//! All are 16 kHz, about −1 to 1, and the same in every run for the same seed.

mod music;
mod noise;
mod random;
mod resonator;
mod speech;

pub use music::{Piece, play};
pub use noise::{Colour, hum, noise};
pub use speech::{Phrase, Speech, speech};

/// Samples a second of everything made here.
pub const RATE: u32 = 16_000;

const RATE_F: f32 = RATE as f32;

fn samples_of(seconds: f32) -> usize {
    (seconds * RATE_F) as usize
}

/// Scaled to this root mean square, in decibels below full scale. Silence stays silent.
#[must_use]
pub fn at_level(mut wave: Vec<f32>, dbfs: f32) -> Vec<f32> {
    let power = wave.iter().map(|sample| f64::from(sample * sample)).sum::<f64>() / wave.len().max(1) as f64;
    let gain = 10f32.powf(dbfs / 20.0) / power.sqrt().max(1e-9) as f32;
    wave.iter_mut().for_each(|sample| *sample *= gain);
    wave
}

/// As 16-bit samples; what is too loud is clipped.
#[must_use]
pub fn quantised(wave: &[f32]) -> Vec<i16> {
    wave.iter().map(|sample| (sample * 32_767.0).round().clamp(-32_768.0, 32_767.0) as i16).collect()
}
