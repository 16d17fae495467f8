//! Sounds that are not speech, made from a seed: the same on every machine and in every run.

use std::f32::consts::TAU;

use dalston_audio::SAMPLE_RATE;

const RATE: f32 = SAMPLE_RATE as f32;

/// SplitMix64: short, and good enough to be noise.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From −1 to 1.
    pub fn bipolar(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f32 {
        self.bipolar() * 0.5 + 0.5
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[derive(Clone, Copy)]
pub enum Colour {
    White,
    Pink,
    Brown,
}

pub fn noise(colour: Colour, samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    match colour {
        Colour::White => (0..samples).map(|_| random.bipolar()).collect(),
        Colour::Brown => {
            let mut level = 0.0;
            (0..samples)
                .map(|_| {
                    level = 0.998 * level + random.bipolar();
                    level
                })
                .collect()
        }
        // Voss: rows that change half as often each add up to −3 dB an octave.
        Colour::Pink => {
            let mut rows = [0.0f32; 12];
            (1..=samples)
                .map(|n| {
                    let row = (n.trailing_zeros() as usize).min(rows.len() - 1);
                    rows[row] = random.bipolar();
                    rows.iter().sum::<f32>() + random.bipolar()
                })
                .collect()
        }
    }
}

/// Mains hum with the harmonics that a bad ground brings.
pub fn hum(samples: usize) -> Vec<f32> {
    let harmonics = [(50.0, 1.0), (100.0, 0.6), (150.0, 0.5), (250.0, 0.25), (350.0, 0.15), (450.0, 0.1)];
    (0..samples)
        .map(|n| {
            let t = n as f32 / RATE;
            harmonics.iter().map(|(hertz, gain)| gain * (TAU * hertz * t).sin()).sum()
        })
        .collect()
}

/// A typist: bursts of keys, each a thump, a click and the release.
pub fn keyboard(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut wave = vec![0.0f32; samples];
    let mut at = 0;
    while at + 4_000 < samples {
        let strength = 0.5 + 0.5 * random.unit();
        for (delay, ring, gain) in [(0, 2_600.0, 1.0), (90, 900.0, 0.6), (1_300, 3_400.0, 0.35)] {
            for n in 0..480 {
                let t = n as f32 / RATE;
                let decay = (-t * 260.0).exp();
                wave[at + delay + n] += strength * gain * decay * ((TAU * ring * t).sin() + 0.8 * random.bipolar());
            }
        }
        let pause = if random.unit() < 0.12 { 0.8 + random.unit() } else { 0.09 + 0.16 * random.unit() };
        at += (pause * RATE) as usize;
    }
    wave
}

/// Single clicks, as of a switch or a bad cable.
pub fn clicks(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut wave = vec![0.0f32; samples];
    let mut at = 0;
    while at + 64 < samples {
        for n in 0..32 {
            wave[at + n] += random.bipolar() * (-(n as f32) / 6.0).exp();
        }
        at += ((0.2 + random.unit()) * RATE) as usize;
    }
    wave
}

/// Brown noise that swells and falls between half a second and three: wind, passing cars.
pub fn gusts(samples: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut gain = 0.2;
    let (mut target, mut left) = (0.2, 0);
    noise(Colour::Brown, samples, seed + 1)
        .into_iter()
        .map(|sample| {
            if left == 0 {
                target = random.unit().powi(2);
                left = ((0.5 + 2.5 * random.unit()) * RATE) as usize;
            }
            left -= 1;
            gain += (target - gain) * 0.0004;
            sample * gain
        })
        .collect()
}

/// Silence, then noise at once: a microphone switched on, an air conditioner starting. Five seconds each.
pub fn switched(samples: usize, seed: u64) -> Vec<f32> {
    let period = 5 * SAMPLE_RATE as usize;
    let mut wave = noise(Colour::Pink, samples, seed);
    for (n, sample) in wave.iter_mut().enumerate() {
        if (n / period).is_multiple_of(2) {
            *sample *= 0.003;
        }
    }
    wave
}
