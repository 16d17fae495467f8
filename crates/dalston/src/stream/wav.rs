//! WAV as it is met in the wild, read forward only, so that it may come through a pipe.
//!
//! Taken: PCM of 8, 16, 24 and 32 bits, float of 32 and 64 bits, µ-law and A-law, plain or as `WAVE_FORMAT_EXTENSIBLE`, mono or
//! stereo, from 8 kHz up. The length in the header is believed only where it can be true: programs that write to a pipe leave 0
//! or the greatest number there, and what they write ends when it ends.

use std::io::{self, Read};

/// Why a WAV file cannot be streamed.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is damaged or something else.
    #[error("is not a WAV file that can be read: {0}")]
    Malformed(&'static str),
    /// It is a WAV file with something in it that the server does not take.
    #[error("holds {what}, which the server does not take; convert it with `ffmpeg -i IN -ac 1 -ar 16000 OUT.wav`")]
    Unsupported {
        /// What it holds.
        what: String,
    },
}

/// How one sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// 8 bits, 128 is silence.
    U8,
    /// 16 bits.
    S16,
    /// 24 bits.
    S24,
    /// 32 bits.
    S32,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// ITU-T G.711.
    Mulaw,
    /// ITU-T G.711.
    Alaw,
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How one sample is written.
    pub sample: Sample,
    /// Hertz.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Bytes of audio; `None` when the writer did not know.
    pub data_bytes: Option<u64>,
}

impl Sample {
    /// Bytes of one.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::Mulaw | Self::Alaw => 1,
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl Header {
    /// Rates below this are not speech any more.
    const LOWEST_RATE: u32 = 8_000;
    /// From here on a length is what a writer to a pipe leaves, not a length: no program writes 2 GiB into a plain WAV file.
    const UNKNOWN_FROM: u32 = 0x7FFF_0000;
    /// A `fmt ` chunk is 16, 18 or 40 bytes.
    const LONGEST_FORMAT: u32 = 256;

    /// Reads up to the first byte of audio. `reader` stands after the four bytes `RIFF`.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn read(reader: &mut impl Read) -> Result<Self, WavError> {
        let [_length, kind]: [[u8; 4]; 2] = [array(reader)?, array(reader)?];
        if &kind != b"WAVE" {
            return Err(WavError::Malformed("RIFF, but not WAVE"));
        }
        let mut format = None;
        loop {
            let (id, length): ([u8; 4], _) = (array(reader)?, u32::from_le_bytes(array(reader)?));
            match &id {
                b"fmt " if (16..=Self::LONGEST_FORMAT).contains(&length) => {
                    let mut chunk = vec![0; padded(length) as usize];
                    reader.read_exact(&mut chunk).map_err(ended)?;
                    format = Some(chunk);
                }
                b"fmt " => return Err(WavError::Malformed("its format chunk has an impossible length")),
                b"data" => {
                    let format = format.ok_or(WavError::Malformed("audio before its format"))?;
                    let is_known = (1..Self::UNKNOWN_FROM).contains(&length);
                    return Self::parse(&format, is_known.then_some(u64::from(length)));
                }
                _ => {
                    let length = padded(length);
                    if io::copy(&mut reader.take(length), &mut io::sink())? < length {
                        return Err(WavError::Malformed("it ends before its audio"));
                    }
                }
            }
        }
    }

    fn parse(format: &[u8], data_bytes: Option<u64>) -> Result<Self, WavError> {
        let u16_at = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
        let sample_rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
        let (channels, bits) = (u16_at(2), u16_at(14));
        // An extensible header keeps the tag in the first two bytes of its sub-format.
        let tag = if u16_at(0) == 0xFFFE && format.len() >= 40 { u16_at(24) } else { u16_at(0) };
        let sample = match (tag, bits) {
            (1, 8) => Sample::U8,
            (1, 16) => Sample::S16,
            (1, 24) => Sample::S24,
            (1, 32) => Sample::S32,
            (3, 32) => Sample::F32,
            (3, 64) => Sample::F64,
            (6, 8) => Sample::Alaw,
            (7, 8) => Sample::Mulaw,
            _ => return Err(WavError::Unsupported { what: format!("codec {tag:#06x} with {bits} bits") }),
        };
        if !(1..=2).contains(&channels) {
            return Err(WavError::Unsupported { what: format!("{channels} channels") });
        }
        if sample_rate < Self::LOWEST_RATE {
            return Err(WavError::Unsupported { what: format!("{sample_rate} Hz") });
        }
        Ok(Self { sample, sample_rate, channels: channels as u8, data_bytes })
    }

    /// Bytes of one sample of every channel.
    pub const fn frame_bytes(&self) -> usize {
        self.sample.bytes() * self.channels as usize
    }
}

/// Chunks are padded to an even length.
fn padded(length: u32) -> u64 {
    u64::from(length) + u64::from(length % 2)
}

fn array<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], WavError> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(ended)?;
    Ok(bytes)
}

fn ended(error: io::Error) -> WavError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => WavError::Malformed("it ends before its audio"),
        _ => WavError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(id: &[u8; 4], length: u32, body: &[u8]) -> Vec<u8> {
        [&id[..], &length.to_le_bytes(), body].concat()
    }

    fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
        let frame = channels * bits / 8;
        let body = [
            &tag.to_le_bytes()[..],
            &channels.to_le_bytes(),
            &rate.to_le_bytes(),
            &(rate.wrapping_mul(frame.into())).to_le_bytes(),
            &frame.to_le_bytes(),
            &bits.to_le_bytes(),
        ];
        chunk(b"fmt ", 16, &body.concat())
    }

    fn read(chunks: &[Vec<u8>]) -> Result<Header, WavError> {
        let file = [&[0u8; 4][..], b"WAVE", &chunks.concat()].concat();
        Header::read(&mut file.as_slice())
    }

    #[test]
    fn every_kind_that_is_taken_is_read() {
        let kinds = [
            (1, 8, Sample::U8),
            (1, 16, Sample::S16),
            (1, 24, Sample::S24),
            (1, 32, Sample::S32),
            (3, 32, Sample::F32),
            (3, 64, Sample::F64),
            (6, 8, Sample::Alaw),
            (7, 8, Sample::Mulaw),
        ];
        for (tag, bits, sample) in kinds {
            let header = read(&[format(tag, 2, 44_100, bits), chunk(b"data", 80, &[])]).unwrap();
            assert_eq!(header, Header { sample, sample_rate: 44_100, channels: 2, data_bytes: Some(80) });
        }
    }

    #[test]
    fn chunks_before_the_audio_are_passed_over() {
        let list = chunk(b"LIST", 3, b"abc\0");
        let header = read(&[list.clone(), format(1, 1, 16_000, 16), list, chunk(b"data", 2, &[])]).unwrap();
        assert_eq!(header.data_bytes, Some(2));
    }

    #[test]
    fn a_length_left_by_a_writer_to_a_pipe_is_unknown() {
        for length in [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000] {
            let header = read(&[format(1, 1, 16_000, 16), chunk(b"data", length, &[])]).unwrap();
            assert_eq!(header.data_bytes, None, "{length:#x}");
        }
    }

    #[test]
    fn what_cannot_be_streamed_is_refused_with_its_reason() {
        let check = |chunks: &[Vec<u8>], named: &str| {
            let error = read(chunks).expect_err(named).to_string();
            assert!(error.contains(named), "{named}: {error}");
        };
        let data = || chunk(b"data", 2, &[0, 0]);
        check(&[], "ends");
        check(&[data()], "before its format");
        check(&[chunk(b"fmt ", 0xFFFF_FFFF, &[])], "length");
        check(&[chunk(b"fmt ", 16, &[0; 4])], "ends");
        check(&[chunk(b"LIST", 0xFFFF_FFFF, &[0; 4])], "ends");
        check(&[format(1, 6, 48_000, 16), data()], "6 channels");
        check(&[format(1, 0, 48_000, 16), data()], "0 channels");
        check(&[format(1, 1, 0, 16), data()], "0 Hz");
        check(&[format(85, 1, 48_000, 0), data()], "codec 0x0055");
    }
}
