//! From what a WAV file holds to what the API takes: 16-bit samples, float, µ-law or A-law, at no more than 48 kHz.

use super::wav::{Header, Sample};

/// Turns a file's bytes into the wire's.
#[derive(Debug)]
pub struct Conversion {
    from: Sample,
    channels: usize,
    /// Frames that become one. Above 1 only for rates over 48 kHz: their mean is filter enough, since speech ends far below
    /// where it would fold.
    merge: usize,
    /// Samples of a group that is not full yet, and how many frames they are.
    sums: [i32; 2],
    summed: usize,
}

/// The highest rate of the API.
const HIGHEST_RATE: u32 = 48_000;

impl Conversion {
    /// For the audio of this file.
    pub fn of(header: &Header) -> Self {
        Self {
            from: header.sample,
            channels: header.channels.into(),
            merge: header.sample_rate.div_ceil(HIGHEST_RATE) as usize,
            sums: [0; 2],
            summed: 0,
        }
    }

    /// The API's name for what comes out.
    pub fn wire_encoding(&self) -> &'static str {
        match self.from {
            _ if self.merge > 1 => "pcm_s16le",
            Sample::F32 => "pcm_f32le",
            Sample::Mulaw => "mulaw",
            Sample::Alaw => "alaw",
            Sample::U8 | Sample::S16 | Sample::S24 | Sample::S32 | Sample::F64 => "pcm_s16le",
        }
    }

    /// The rate of what comes out.
    pub fn wire_rate(&self, rate: u32) -> u32 {
        rate / self.merge as u32
    }

    /// Converts whole frames.
    pub fn convert(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.merge == 1 && matches!(self.from, Sample::S16 | Sample::F32 | Sample::Mulaw | Sample::Alaw) {
            return bytes;
        }
        let from = self.from;
        let samples = bytes.chunks_exact(from.bytes()).map(|sample| to_i16(from, sample));
        if self.merge == 1 { samples.flat_map(i16::to_le_bytes).collect() } else { self.merge(samples) }
    }

    fn merge(&mut self, samples: impl Iterator<Item = i16>) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, sample) in samples.enumerate() {
            let channel = at % self.channels;
            self.sums[channel] += i32::from(sample);
            if channel + 1 < self.channels {
                continue;
            }
            self.summed += 1;
            if self.summed == self.merge {
                // A mean of 16-bit samples is one.
                let mean = |sum: &i32| (sum / self.merge as i32) as i16;
                out.extend(self.sums[..self.channels].iter().map(mean).flat_map(i16::to_le_bytes));
                (self.sums, self.summed) = ([0; 2], 0);
            }
        }
        out
    }
}

/// `bytes` are one sample. The companded ones never get here: telephone audio has no rate above 48 kHz worth merging.
fn to_i16(from: Sample, bytes: &[u8]) -> i16 {
    match (from, bytes) {
        (Sample::U8, [byte]) => (i16::from(*byte) - 128) << 8,
        (Sample::S16, [low, high]) | (Sample::S24, [_, low, high]) | (Sample::S32, [_, _, low, high]) => {
            i16::from_le_bytes([*low, *high])
        }
        (Sample::F32, [a, b, c, d]) => from_float(f32::from_le_bytes([*a, *b, *c, *d]).into()),
        (Sample::F64, [a, b, c, d, e, f, g, h]) => from_float(f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (Sample::Mulaw, [byte]) => dalston_audio::mulaw_to_linear(*byte),
        (Sample::Alaw, [byte]) => dalston_audio::alaw_to_linear(*byte),
        _ => 0,
    }
}

/// Full scale ±1. `as` clamps, and makes silence of what is not a number.
fn from_float(sample: f64) -> i16 {
    (sample * 32_768.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversion(sample: Sample, sample_rate: u32, channels: u8) -> Conversion {
        Conversion::of(&Header { sample, sample_rate, channels, data_bytes: None })
    }

    fn to_samples(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn every_width_keeps_its_loudness() {
        let check = |sample: Sample, bytes: &[u8], expected: &[i16]| {
            let converted = conversion(sample, 16_000, 1).convert(bytes.to_vec());
            assert_eq!(to_samples(&converted), expected, "{sample:?}");
        };
        check(Sample::U8, &[128, 255, 0], &[0, 0x7F00, -0x8000]);
        check(Sample::S16, &[0x34, 0x12], &[0x1234]);
        check(Sample::S24, &[0xFF, 0x34, 0x12], &[0x1234]);
        check(Sample::S32, &[0xFF, 0xFF, 0x34, 0x12], &[0x1234]);
        let floats = [0.5f64, -1.0, 7.0, f64::NAN].map(f64::to_le_bytes).concat();
        check(Sample::F64, &floats, &[0x4000, -0x8000, 0x7FFF, 0]);
    }

    #[test]
    fn a_rate_above_the_apis_is_brought_below_it_across_chunks() {
        let mut merge = conversion(Sample::S16, 96_000, 2);
        assert_eq!(merge.wire_rate(96_000), 48_000);
        let frames = |values: &[i16]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(to_samples(&merge.convert(frames(&[10, 100, 20, 200, 30, 300]))), [15, 150]);
        assert_eq!(to_samples(&merge.convert(frames(&[50, 500]))), [40, 400]);
    }

    #[test]
    fn telephone_audio_goes_out_as_it_is() {
        let mut conversion = conversion(Sample::Mulaw, 8_000, 1);
        assert_eq!(conversion.wire_encoding(), "mulaw");
        assert_eq!(conversion.convert(vec![1, 2, 3]), [1, 2, 3]);
    }
}
