//! Music without a voice, synthesised: chords, a melody and drums in four instrumentations.

use std::f32::consts::TAU;

use dalston_audio::SAMPLE_RATE;

use crate::noise::Random;

const RATE: f32 = SAMPLE_RATE as f32;

#[derive(Clone, Copy)]
enum Timbre {
    /// A drawbar organ: steady sines.
    Organ,
    /// Bowed strings: filtered saw, slow attack, vibrato.
    Strings,
    /// A plucked string after Karplus and Strong.
    Pluck,
    /// A reed: filtered saw with vibrato and a formant-like peak; the nearest to a voice.
    Reed,
}

#[derive(Clone, Copy)]
pub enum Piece {
    Organ,
    Orchestra,
    Band,
    ReedSolo,
    Drums,
}

/// Semitones above A2 of the chords of one round, a bar each.
const CHORDS: [[i32; 3]; 4] = [[0, 7, 16], [-4, 8, 12], [3, 10, 15], [-2, 10, 14]];

/// The melody in eighths: semitones above A4.
const MELODY: [i32; 32] =
    [0, 2, 3, 7, 7, 5, 3, 2, 3, 3, 5, 8, 7, 5, 3, 0, 7, 8, 10, 12, 10, 8, 7, 3, 5, 3, 2, 5, 3, 2, 0, 0];

const EIGHTH: f32 = 0.27;

pub fn play(piece: Piece, samples: usize, seed: u64) -> Vec<f32> {
    let mut wave = vec![0.0f32; samples];
    let mut random = Random::new(seed);
    let (chords, melody, drums) = match piece {
        Piece::Organ => (Some(Timbre::Organ), Some(Timbre::Organ), false),
        Piece::Orchestra => (Some(Timbre::Strings), Some(Timbre::Strings), false),
        Piece::Band => (Some(Timbre::Pluck), Some(Timbre::Pluck), true),
        Piece::ReedSolo => (None, Some(Timbre::Reed), false),
        Piece::Drums => (None, None, true),
    };
    let eighths = (samples as f32 / RATE / EIGHTH) as usize;
    for eighth in 0..eighths {
        let start = (eighth as f32 * EIGHTH * RATE) as usize;
        let out = &mut wave[start..];
        if let Some(timbre) = chords.filter(|_| eighth % 8 == 0) {
            for semitone in CHORDS[eighth / 8 % CHORDS.len()] {
                note(out, timbre, 110.0 * 2f32.powf(semitone as f32 / 12.0), 8.0 * EIGHTH, 0.25, &mut random);
            }
        }
        if let Some(timbre) = melody {
            let semitone = MELODY[eighth % MELODY.len()] - 12 * i32::from(matches!(timbre, Timbre::Reed));
            note(out, timbre, 440.0 * 2f32.powf(semitone as f32 / 12.0), EIGHTH * 0.95, 0.5, &mut random);
        }
        if drums {
            drum(out, eighth, &mut random);
        }
    }
    wave
}

fn note(out: &mut [f32], timbre: Timbre, hertz: f32, seconds: f32, gain: f32, random: &mut Random) {
    let length = ((seconds * RATE) as usize).min(out.len());
    let attack_release = |t: f32, attack: f32, release: f32| (t / attack).min((seconds - t) / release).clamp(0.0, 1.0);
    match timbre {
        Timbre::Organ => {
            for (n, sample) in out[..length].iter_mut().enumerate() {
                let t = n as f32 / RATE;
                let drawbars = [(1.0, 1.0), (2.0, 0.7), (3.0, 0.4), (4.0, 0.3), (6.0, 0.15)];
                let tone: f32 = drawbars.iter().map(|(k, g)| g * (TAU * hertz * k * t).sin()).sum();
                *sample += gain * attack_release(t, 0.01, 0.02) * tone;
            }
        }
        Timbre::Strings | Timbre::Reed => {
            let reed = matches!(timbre, Timbre::Reed);
            let (depth, cutoff, attack) = if reed { (0.012, 0.5, 0.03) } else { (0.006, 0.25, 0.12) };
            let (mut phase, mut low, mut band, mut band_low) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
            for (n, sample) in out[..length].iter_mut().enumerate() {
                let t = n as f32 / RATE;
                phase = (phase + hertz * (1.0 + depth * (TAU * 5.5 * t).sin()) / RATE).fract();
                let saw = 2.0 * phase - 1.0;
                low += cutoff * (saw - low);
                // A resonance at 1.1 kHz, where a vowel has one.
                band_low += 0.43 * band;
                band += 0.43 * (saw - band_low - 0.25 * band);
                let tone = if reed { 0.5 * low + 0.6 * band } else { low };
                *sample += gain * attack_release(t, attack, 0.08) * tone;
            }
        }
        Timbre::Pluck => {
            let period = (RATE / hertz) as usize;
            let mut string: Vec<f32> = (0..period).map(|_| random.bipolar()).collect();
            for (n, sample) in out[..length].iter_mut().enumerate() {
                let i = n % period;
                *sample += gain * string[i];
                string[i] = 0.4985 * (string[i] + string[(i + 1) % period]);
            }
        }
    }
}

fn drum(out: &mut [f32], eighth: usize, random: &mut Random) {
    let length = 3_200.min(out.len());
    for (n, sample) in out[..length].iter_mut().enumerate() {
        let t = n as f32 / RATE;
        if eighth.is_multiple_of(4) {
            *sample += 1.2 * (-t * 18.0).exp() * (TAU * (50.0 * t + 6.0 * (1.0 - (-t * 30.0).exp()))).sin();
        }
        if eighth % 4 == 2 {
            *sample += (-t * 22.0).exp() * (0.7 * random.bipolar() + 0.4 * (TAU * 190.0 * t).sin());
        }
        *sample += 0.25 * (-t * 90.0).exp() * random.bipolar();
    }
}
