//! Music without a voice: a bass, chords, a melody and drums, played by three kinds of instrument.

use std::f32::consts::TAU;

use super::{RATE_F, random::Random, samples_of};

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Chords and melody on a drawbar organ: steady sines.
    Organ,
    /// Chords and melody on plucked strings.
    Guitar,
    /// Drums alone.
    Drums,
    /// All together.
    Band,
}

/// Semitones above A2; a bar each.
const CHORDS: [[i16; 3]; 4] = [[0, 3, 7], [5, 8, 12], [-2, 2, 5], [3, 7, 10]];
/// Semitones above A4; one every eighth, over and over.
const MELODY: [i16; 16] = [12, 10, 7, 5, 7, 3, 5, 0, 3, 5, 7, 10, 8, 7, 5, 3];
/// Seconds of an eighth: 112 quarters a minute.
const EIGHTH: f32 = 60.0 / 112.0 / 2.0;

/// So many samples of music.
#[must_use]
pub fn play(piece: Piece, samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut wave = vec![0.0; samples];
    for (eighth, start) in (0..samples).step_by(samples_of(EIGHTH)).enumerate() {
        let out = &mut wave[start..];
        let chord = CHORDS[eighth / 8 % CHORDS.len()];
        let tune = pitch(440.0, MELODY[eighth * 5 % MELODY.len()]);
        match piece {
            Piece::Organ => organ(out, chord, tune, eighth),
            Piece::Guitar => guitar(out, chord, tune, eighth, &mut random),
            Piece::Drums => drum(out, eighth, &mut random),
            Piece::Band => {
                organ(out, chord, tune, eighth);
                guitar(out, chord, tune, eighth, &mut random);
                drum(out, eighth, &mut random);
            }
        }
    }
    wave
}

fn pitch(base: f32, semitones: i16) -> f32 {
    base * 2f32.powf(f32::from(semitones) / 12.0)
}

fn organ(out: &mut [f32], chord: [i16; 3], tune: f32, eighth: usize) {
    if eighth.is_multiple_of(8) {
        chord.iter().for_each(|&note| pipe(out, pitch(110.0, note), 8.0 * EIGHTH, 0.08));
    }
    pipe(out, tune, EIGHTH, 0.15);
}

/// Sines at the pitches of an organ's drawbars.
fn pipe(out: &mut [f32], hertz: f32, seconds: f32, gain: f32) {
    const DRAWBARS: [(f32, f32); 5] = [(0.5, 0.6), (1.0, 1.0), (2.0, 0.6), (3.0, 0.4), (4.0, 0.25)];
    for (n, sample) in out.iter_mut().take(samples_of(seconds)).enumerate() {
        let t = n as f32 / RATE_F;
        let edge = (t / 0.01).min((seconds - t) / 0.02).clamp(0.0, 1.0);
        let tone: f32 = DRAWBARS.iter().map(|(k, level)| level * (TAU * (hertz * k * t).fract()).sin()).sum();
        *sample += gain * edge * tone;
    }
}

fn guitar(out: &mut [f32], chord: [i16; 3], tune: f32, eighth: usize, random: &mut Random) {
    pluck(out, pitch(110.0, chord[eighth % 3]), 2.0 * EIGHTH, 0.3, random);
    if eighth % 4 != 3 {
        pluck(out, tune / 2.0, 2.0 * EIGHTH, 0.3, random);
    }
}

/// A string after Karplus and Strong: noise goes round in a delay line that softens it.
fn pluck(out: &mut [f32], hertz: f32, seconds: f32, gain: f32, random: &mut Random) {
    let mut string: Vec<f32> = (0..(RATE_F / hertz) as usize).map(|_| random.bipolar()).collect();
    for (n, sample) in out.iter_mut().take(samples_of(seconds)).enumerate() {
        let (here, next) = (n % string.len(), (n + 1) % string.len());
        *sample += gain * string[here];
        string[here] = 0.497 * (string[here] + string[next]);
    }
}

/// Kick on one and three, snare on two and four, hi-hat on every eighth.
fn drum(out: &mut [f32], eighth: usize, random: &mut Random) {
    for (n, sample) in out.iter_mut().take(samples_of(0.2)).enumerate() {
        let t = n as f32 / RATE_F;
        *sample += 0.15 * (-t * 100.0).exp() * random.bipolar();
        match eighth % 4 {
            0 => *sample += 0.9 * (-t * 20.0).exp() * (TAU * (48.0 * t + 5.0 * (1.0 - (-t * 35.0).exp()))).sin(),
            2 => *sample += (-t * 25.0).exp() * (0.5 * random.bipolar() + 0.3 * (TAU * 185.0 * t).sin()),
            _ => {}
        }
    }
}
