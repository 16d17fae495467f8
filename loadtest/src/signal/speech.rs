//! Something that a voice activity detector takes for speech: a buzzing source through moving formants, in syllables, words and
//! phrases with pauses between them. It says nothing.

use super::{RATE_F, at_level, random::Random, resonator::Resonator, samples_of};

/// Speech-like sound, and where in it the phrases are.
#[derive(Debug, Clone)]
pub struct Speech {
    /// The sound.
    pub wave: Vec<f32>,
    /// Its phrases in order. Between two of them is silence for at least [`SHORTEST_PAUSE`] seconds.
    pub phrases: Vec<Phrase>,
}

/// Where one phrase is, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phrase {
    /// Its first sample.
    pub start: usize,
    /// The sample after its last.
    pub end: usize,
}

/// Longer than the default endpointing of half a second with what a detector rings on: each phrase is an utterance.
const SHORTEST_PAUSE: f32 = 1.0;
const LONGEST_PAUSE: f32 = 1.6;
/// Decibels below full scale, pauses counted: somebody near a microphone.
const LEVEL: f32 = -24.0;
/// The first two formants of ten vowels, hertz (Peterson and Barney, J. Acoust. Soc. Am. 24, 1952, men).
const VOWELS: [[f32; 2]; 10] = [
    [270.0, 2290.0],
    [390.0, 1990.0],
    [530.0, 1840.0],
    [660.0, 1720.0],
    [730.0, 1090.0],
    [570.0, 840.0],
    [440.0, 1020.0],
    [300.0, 870.0],
    [640.0, 1190.0],
    [490.0, 1350.0],
];
const THIRD: f32 = 2500.0;
const FOURTH: f32 = 3500.0;

/// At least `seconds` of it. It begins and ends with a pause, and ends after a whole phrase.
#[must_use]
pub fn speech(seconds: f32, seed: u64) -> Speech {
    let mut voice = Voice::new(seed);
    let mut phrases = Vec::new();
    voice.pause(SHORTEST_PAUSE / 2.0);
    while voice.wave.len() < samples_of(seconds) {
        let start = voice.wave.len();
        voice.phrase();
        phrases.push(Phrase { start, end: voice.wave.len() });
        let pause = voice.random.between(SHORTEST_PAUSE, LONGEST_PAUSE);
        voice.pause(pause);
    }
    Speech { wave: at_level(voice.wave, LEVEL), phrases }
}

struct Voice {
    random: Random,
    wave: Vec<f32>,
    /// Where in its period the glottis is, 0 to 1.
    phase: f32,
    formants: [Resonator; 4],
    vowel: [f32; 2],
    /// The source's low-pass: 12 dB an octave above the first harmonics, as of a real glottis.
    tilt: [f32; 2],
}

impl Voice {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            wave: Vec::new(),
            phase: 0.0,
            formants: Default::default(),
            vowel: VOWELS[9],
            tilt: [0.0; 2],
        }
    }

    /// Not quite silent: there is a room around every microphone.
    fn pause(&mut self, seconds: f32) {
        for _ in 0..samples_of(seconds) {
            let air = 0.0005 * self.random.bipolar();
            self.wave.push(air);
        }
    }

    /// Six to sixteen syllables on a falling melody.
    fn phrase(&mut self) {
        let syllables = 6 + (self.random.unit() * 11.0) as usize;
        let base = self.random.between(105.0, 135.0);
        for n in 0..syllables {
            let fall = 1.15 - 0.3 * n as f32 / syllables as f32;
            let stress = self.random.between(0.95, 1.12);
            match self.random.unit() {
                _ if n == 0 => {}
                // What tells a voice from music soonest is the change between vowels and fricatives.
                _ if n <= 2 => self.hiss(),
                // A fricative, a closure with its burst, or a sonorant, which needs nothing.
                x if x < 0.5 => self.hiss(),
                x if x < 0.7 => self.stop(),
                _ => {}
            }
            self.syllable(base * fall * stress);
        }
    }

    fn syllable(&mut self, hertz: f32) {
        let target = self.random.one_of(&VOWELS);
        let from = self.vowel;
        let length = samples_of(self.random.between(0.10, 0.17));
        let glide = self.random.between(-0.35, 0.25);
        for n in 0..length {
            let t = n as f32 / length as f32;
            // The tongue is at the vowel after a third of it.
            let way = (3.0 * t).min(1.0);
            if n % 32 == 0 {
                self.vowel = [0, 1].map(|i| from[i] + (target[i] - from[i]) * way);
                self.tune();
            }
            let loudness = (t / 0.12).min((1.0 - t) / 0.25).clamp(0.0, 1.0);
            let jitter = 1.0 + 0.01 * self.random.bipolar();
            self.phase += hertz * (1.0 + glide * (t - 0.5)) * jitter / RATE_F;
            let pulse = if self.phase >= 1.0 { 1.0 } else { 0.0 };
            self.phase = self.phase.fract();
            let breath = 0.004 * self.random.bipolar();
            let sound = self.tract((pulse + breath) * loudness);
            self.wave.push(sound);
        }
    }

    fn tune(&mut self) {
        let tuned = [(self.vowel[0], 60.0), (self.vowel[1], 90.0), (THIRD, 150.0), (FOURTH, 200.0)];
        for (formant, (hertz, bandwidth)) in self.formants.iter_mut().zip(tuned) {
            formant.tune(hertz, bandwidth);
        }
    }

    fn tract(&mut self, source: f32) -> f32 {
        self.tilt[0] += 0.25 * (source - self.tilt[0]);
        self.tilt[1] += 0.6 * (self.tilt[0] - self.tilt[1]);
        let mouth = self.formants.iter_mut().fold(self.tilt[1], |sound, formant| formant.hear(sound));
        1.6 * mouth
    }

    fn hiss(&mut self) {
        let length = samples_of(self.random.between(0.07, 0.13));
        let mut last = 0.0;
        for n in 0..length {
            let t = n as f32 / length as f32;
            let white = self.random.bipolar();
            self.wave.push(0.2 * (4.0 * t).min(4.0 - 4.0 * t).min(1.0) * (white - last));
            last = white;
        }
    }

    fn stop(&mut self) {
        let closure = self.random.between(0.03, 0.06);
        self.pause(closure);
        for n in 0..samples_of(0.012) {
            let decay = (-(n as f32) / 60.0).exp();
            let burst = 0.1 * decay * self.random.bipolar();
            self.wave.push(burst);
        }
    }
}
