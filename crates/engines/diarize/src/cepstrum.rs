//! Mel-frequency cepstral coefficients, the shape of a voice's spectrum in a dozen numbers.

use std::array;
use std::f32::consts::PI;

/// Coefficients: the first to the twelfth. The zeroth is loudness, which says nothing of who speaks.
pub const DIMENSIONS: usize = 12;
/// Samples between two vectors: 10 ms.
pub const HOP: usize = 160;

/// Samples that a vector is made of: 25 ms.
const WINDOW: usize = 400;
const TRANSFORM: usize = 512;
const BINS: usize = TRANSFORM / 2;
const BANDS: usize = 24;
/// Bands reach from here to there, in hertz.
const LOW: f32 = 100.0;
const HIGH: f32 = 7_000.0;
/// Boost of high frequencies, which a voice has little of.
const EMPHASIS: f32 = 0.97;

/// One vector.
pub type Vector = [f32; DIMENSIONS];

/// Makes vectors of samples that come in any pieces.
pub struct Cepstra {
    held: Vec<f32>,
    last: f32,
    window: [f32; WINDOW],
    /// For each band its first bin and the weights from there on.
    bands: [(usize, Vec<f32>); BANDS],
    cosines: [[f32; BANDS]; DIMENSIONS],
}

impl Cepstra {
    pub fn new() -> Self {
        let mel = |hertz: f32| 2595.0 * (1.0 + hertz / 700.0).log10();
        let hertz = |mel: f32| 700.0 * (10f32.powf(mel / 2595.0) - 1.0);
        let edge = |i: usize| {
            let share = i as f32 / (BANDS + 1) as f32;
            hertz(mel(LOW) + share * (mel(HIGH) - mel(LOW))) * TRANSFORM as f32 / 16_000.0
        };
        let bands = array::from_fn(|band| {
            let (from, peak, to) = (edge(band), edge(band + 1), edge(band + 2));
            let first = from.ceil() as usize;
            let weights = (first..BINS).take_while(|&bin| (bin as f32) < to).map(|bin| {
                let bin = bin as f32;
                if bin < peak { (bin - from) / (peak - from) } else { (to - bin) / (to - peak) }
            });
            (first, weights.collect())
        });
        let cosines = array::from_fn(|order| {
            array::from_fn(|band| ((order + 1) as f32 * (band as f32 + 0.5) * PI / BANDS as f32).cos())
        });
        // Hamming's.
        let window = array::from_fn(|i| 0.54 - 0.46 * (2.0 * PI * i as f32 / (WINDOW - 1) as f32).cos());
        Self { held: Vec::new(), last: 0.0, window, bands, cosines }
    }

    /// Takes samples and gives `sink` each vector that they complete.
    pub fn push(&mut self, samples: &[i16], mut sink: impl FnMut(&Vector)) {
        for &sample in samples {
            let sample = f32::from(sample);
            self.held.push(sample - EMPHASIS * self.last);
            self.last = sample;
        }
        let mut at = 0;
        while self.held.len() - at >= WINDOW {
            sink(&self.vector(&self.held[at..at + WINDOW]));
            at += HOP;
        }
        self.held.drain(..at);
    }

    fn vector(&self, samples: &[f32]) -> Vector {
        let mut block = [0.0; TRANSFORM];
        for ((slot, sample), weight) in block.iter_mut().zip(samples).zip(&self.window) {
            *slot = sample * weight;
        }
        let spectrum = microfft::real::rfft_512(&mut block);
        let power: [f32; BINS] = array::from_fn(|bin| spectrum[bin].norm_sqr());
        let logarithms: [f32; BANDS] = array::from_fn(|band| {
            let (first, weights) = &self.bands[band];
            let sum: f32 = power[*first..].iter().zip(weights).map(|(power, weight)| power * weight).sum();
            // Digital silence has a logarithm too.
            (sum + 1.0).ln()
        });
        array::from_fn(|order| self.cosines[order].iter().zip(logarithms).map(|(cosine, value)| cosine * value).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors(samples: &[i16], piece: usize) -> Vec<Vector> {
        let mut cepstra = Cepstra::new();
        let mut vectors = Vec::new();
        samples.chunks(piece).for_each(|piece| cepstra.push(piece, |vector| vectors.push(*vector)));
        vectors
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let samples: Vec<i16> = (0..8_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 18) as i16).collect();
        let whole = vectors(&samples, samples.len());
        assert_eq!(whole.len(), (8_000 - WINDOW) / HOP + 1);
        for piece in [1, 320, 777] {
            assert_eq!(vectors(&samples, piece), whole);
        }
    }

    #[test]
    fn loudness_changes_nothing_and_timbre_does() {
        let tone = |hertz: f32, loud: f32| -> Vec<i16> {
            let wave = |i: u32| (i as f32 * hertz * 2.0 * PI / 16_000.0).sin();
            let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as f32 - 128.0;
            (0..1_600).map(|i| ((wave(i) * 2_000.0 + noise(i)) * loud) as i16).collect()
        };
        let mean_square = |a: Vector, b: Vector| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let first = |samples: &[i16]| vectors(samples, 1_600)[2];
        let reference = first(&tone(500.0, 1.0));
        assert!(mean_square(reference, first(&tone(500.0, 4.0))) < 5.0);
        assert!(mean_square(reference, first(&tone(2_500.0, 1.0))) > 100.0);
    }
}
