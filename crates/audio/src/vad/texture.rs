//! What the waveform and the spectrum of a sound tell of where it comes from.
//!
//! Two measures part a voice from music and machines, neither of which looks at loudness:
//!
//! * The **zero-crossing rate** of speech leaps between vowels and hissed consonants; that of an instrument stays with its pitch.
//! * The **partials** of a held note stay where they are in the spectrum. Those of a voice glide with its pitch, the higher the
//!   faster.

use std::f32::consts::TAU;
use std::sync::LazyLock;

use crate::{FRAME_SAMPLES, Frame};

/// Samples that a spectrum is made of: 32 ms, so that it resolves 31 Hz.
const WINDOW: usize = 512;
/// Samples of earlier frames in the window.
const OVERLAP: usize = WINDOW - FRAME_SAMPLES;

/// Bins in which partials are looked for: 250 Hz to 3.1 kHz, one bit of a `u128` each.
const BINS: std::ops::RangeInclusive<usize> = 8..=100;
/// How far a peak must stand out from two bins away on both sides, and how far it may be below the highest: 6 dB and 35 dB.
const PROMINENCE: f32 = 4.0;
const DEPTH: f32 = 3_162.0;
/// A partial is steady when it was there 60 and 120 ms ago, too.
const LAG: usize = 3;

static HANN: LazyLock<[f32; WINDOW]> =
    LazyLock::new(|| std::array::from_fn(|n| 0.5 - 0.5 * (TAU * n as f32 / WINDOW as f32).cos()));

/// Listens to the frames of a sound.
#[derive(Debug)]
pub(super) struct Texture {
    before: [i16; OVERLAP],
    /// Where the spectral peaks of the last frames were, newest first.
    peaks: [u128; 2 * LAG],
    /// Frames since the sound was last interrupted, up to the number of `peaks`.
    run: usize,
}

/// The measures of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grain {
    /// Sign changes a sample.
    pub(super) crossings: f32,
    /// Share of the spectral peaks that have not moved for 120 ms. `None` in the first 120 ms.
    pub(super) steadiness: Option<f32>,
}

impl Texture {
    pub(super) fn new() -> Self {
        Self { before: [0; OVERLAP], peaks: [0; 2 * LAG], run: 0 }
    }

    /// A frame that is not measured. Peaks on its two sides are not compared.
    pub(super) fn skip(&mut self, frame: &Frame) {
        self.run = 0;
        self.before.copy_from_slice(&frame[FRAME_SAMPLES - OVERLAP..]);
    }

    pub(super) fn measure(&mut self, frame: &Frame) -> Grain {
        let peaks = self.peaks_of(frame);
        self.before.copy_from_slice(&frame[FRAME_SAMPLES - OVERLAP..]);
        let steadiness = (self.run == self.peaks.len()).then(|| {
            let steady = peaks & near(self.peaks[LAG - 1]) & near(self.peaks[2 * LAG - 1]);
            match peaks.count_ones() {
                // One peak in noise is often where one was.
                0 | 1 => 0.0,
                count => steady.count_ones() as f32 / count as f32,
            }
        });
        self.peaks.rotate_right(1);
        self.peaks[0] = peaks;
        self.run = (self.run + 1).min(self.peaks.len());
        Grain { crossings: crossings(frame), steadiness }
    }

    fn peaks_of(&self, frame: &Frame) -> u128 {
        let mut window = [0.0f32; WINDOW];
        let samples = self.before.iter().chain(frame);
        for ((slot, &sample), weight) in window.iter_mut().zip(samples).zip(HANN.iter()) {
            *slot = f32::from(sample) * weight;
        }
        let spectrum = microfft::real::rfft_512(&mut window);
        let margin = 2;
        let mut power = [0.0f32; *BINS.end() + 3];
        for (slot, bin) in power.iter_mut().zip(spectrum.iter()) {
            *slot = bin.re * bin.re + bin.im * bin.im;
        }
        let floor = power[BINS].iter().copied().fold(0.0, f32::max) / DEPTH;
        BINS.filter(|&bin| {
            let height = power[bin];
            height > floor
                && height >= power[bin - 1]
                && height > power[bin + 1]
                && height > PROMINENCE * power[bin - margin].max(power[bin + margin])
        })
        .fold(0, |peaks, bin| peaks | 1 << (bin - BINS.start()))
    }
}

/// The same bins and their neighbours.
fn near(peaks: u128) -> u128 {
    peaks | peaks << 1 | peaks >> 1
}

fn crossings(frame: &Frame) -> f32 {
    let changes = frame.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    changes as f32 / frame.len() as f32
}
