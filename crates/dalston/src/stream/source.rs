//! Where the audio comes from: a WAV file, a WAV stream or raw samples, from a file or standard input.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::{
    samples::Conversion,
    wav::{Header, WavError},
};

/// What the server is told of the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFormat {
    /// Its name in the API.
    pub encoding: &'static str,
    /// Hertz.
    pub sample_rate: u32,
    /// 1, or 2 interleaved.
    pub channels: u8,
}

/// What the user said of raw audio. Nothing said is no raw audio, except on standard input.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawFormat {
    /// `--encoding`
    pub encoding: Option<RawEncoding>,
    /// `--sample-rate`
    pub sample_rate: Option<u32>,
    /// `--channels`
    pub channels: Option<u8>,
}

/// An encoding that can be streamed without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RawEncoding {
    /// 16-bit signed, little-endian.
    PcmS16le,
    /// 32-bit float, little-endian.
    PcmF32le,
    /// ITU-T G.711 µ-law.
    Mulaw,
    /// ITU-T G.711 A-law.
    Alaw,
}

/// Audio, chunk by chunk.
pub struct Source {
    format: WireFormat,
    reader: Box<dyn Read + Send>,
    conversion: Option<Conversion>,
    /// Bytes of one sample of every channel, as they are read.
    frame_bytes: usize,
    /// Frames a second, as they are read.
    frame_rate: u32,
}

/// Why there is no audio.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not there or not for us.
    #[error("{name}: {why}")]
    Open {
        /// What the user called it.
        name: String,
        /// Why. Said above, so it is not given as a cause once more.
        why: io::Error,
    },
    /// It is WAV, but not one that can be streamed.
    #[error("{name} {why}")]
    Wav {
        /// What the user called it.
        name: String,
        /// Why, likewise.
        why: WavError,
    },
    /// It is neither WAV nor said to be raw.
    #[error(
        "{name} is not a WAV file; convert it with `ffmpeg -i IN -ac 1 -ar 16000 OUT.wav`, or say what raw audio it is \
         with --encoding and --sample-rate"
    )]
    NotWav {
        /// What the user called it.
        name: String,
    },
    /// A WAV file says its own format.
    #[error("{name} is a WAV file, which says its own format; leave out --encoding, --sample-rate and --channels")]
    SaysItself {
        /// What the user called it.
        name: String,
    },
}

/// Chunks in a second of audio.
const CHUNKS_PER_SECOND: u32 = 10;

impl Source {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// [`SourceError`], with what the user can do.
    pub fn open(path: &Path, raw: RawFormat) -> Result<Self, SourceError> {
        if path.as_os_str() == "-" {
            return Self::of("standard input", Box::new(io::stdin()), raw, true);
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|why| SourceError::Open { name: name.clone(), why })?;
        Self::of(&name, Box::new(BufReader::new(file)), raw, raw.encoding.is_some() || raw.sample_rate.is_some())
    }

    fn of(name: &str, mut reader: Box<dyn Read + Send>, raw: RawFormat, may_be_raw: bool) -> Result<Self, SourceError> {
        let name = || name.to_owned();
        let begin = first_bytes(&mut reader).map_err(|why| SourceError::Open { name: name(), why })?;
        if begin == b"RIFF" {
            if raw.encoding.is_some() || raw.sample_rate.is_some() || raw.channels.is_some() {
                return Err(SourceError::SaysItself { name: name() });
            }
            let header = Header::read(&mut reader).map_err(|why| SourceError::Wav { name: name(), why })?;
            return Ok(Self::of_wav(reader, header));
        }
        if !may_be_raw {
            return Err(SourceError::NotWav { name: name() });
        }
        Ok(Self::of_raw(Box::new(io::Cursor::new(begin).chain(reader)), raw))
    }

    fn of_wav(reader: Box<dyn Read + Send>, header: Header) -> Self {
        let conversion = Conversion::of(&header);
        let reader = match header.data_bytes {
            Some(bytes) => Box::new(reader.take(bytes)),
            None => reader,
        };
        Self {
            format: WireFormat {
                encoding: conversion.wire_encoding(),
                sample_rate: conversion.wire_rate(header.sample_rate),
                channels: header.channels,
            },
            reader,
            conversion: Some(conversion),
            frame_bytes: header.frame_bytes(),
            frame_rate: header.sample_rate,
        }
    }

    fn of_raw(reader: Box<dyn Read + Send>, raw: RawFormat) -> Self {
        let encoding = raw.encoding.unwrap_or(RawEncoding::PcmS16le);
        let (sample_rate, channels) = (raw.sample_rate.unwrap_or(16_000), raw.channels.unwrap_or(1));
        let frame_bytes = encoding.bytes() * usize::from(channels);
        Self {
            format: WireFormat { encoding: encoding.name(), sample_rate, channels },
            reader,
            conversion: None,
            frame_bytes,
            frame_rate: sample_rate,
        }
    }

    /// What the server is to be told.
    pub fn format(&self) -> &WireFormat {
        &self.format
    }

    /// The next tenth of a second, ready to be sent, with its length in seconds. `None` at the end. Blocks.
    ///
    /// # Errors
    /// When reading fails.
    pub fn next_chunk(&mut self) -> io::Result<Option<(Vec<u8>, f64)>> {
        let mut bytes = vec![0; (self.frame_rate / CHUNKS_PER_SECOND) as usize * self.frame_bytes];
        let filled = fill(&mut self.reader, &mut bytes)?;
        // What is left over at the end is part of a sample.
        bytes.truncate(filled - filled % self.frame_bytes);
        if bytes.is_empty() {
            return Ok(None);
        }
        let seconds = (bytes.len() / self.frame_bytes) as f64 / f64::from(self.frame_rate);
        Ok(Some(match &mut self.conversion {
            Some(conversion) => (conversion.convert(bytes), seconds),
            None => (bytes, seconds),
        }))
    }
}

impl RawEncoding {
    const fn name(self) -> &'static str {
        match self {
            Self::PcmS16le => "pcm_s16le",
            Self::PcmF32le => "pcm_f32le",
            Self::Mulaw => "mulaw",
            Self::Alaw => "alaw",
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::PcmS16le => 2,
            Self::PcmF32le => 4,
            Self::Mulaw | Self::Alaw => 1,
        }
    }
}

fn first_bytes(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut begin = vec![0; 4];
    let filled = fill(reader, &mut begin)?;
    begin.truncate(filled);
    Ok(begin)
}

/// Reads until `bytes` is full or the input ends.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &'static [u8], raw: RawFormat, may_be_raw: bool) -> Result<Source, SourceError> {
        Source::of("it", Box::new(bytes), raw, may_be_raw)
    }

    fn drain(mut source: Source) -> (Vec<u8>, f64) {
        let (mut all, mut seconds) = (Vec::new(), 0.0);
        while let Some((bytes, length)) = source.next_chunk().unwrap() {
            all.extend(bytes);
            seconds += length;
        }
        (all, seconds)
    }

    #[test]
    fn raw_audio_goes_out_as_it_came_in() {
        static AUDIO: [u8; 48_001] = [7; 48_001];
        let source = of(&AUDIO, RawFormat::default(), true).unwrap();
        assert_eq!(*source.format(), WireFormat { encoding: "pcm_s16le", sample_rate: 16_000, channels: 1 });
        let (bytes, seconds) = drain(source);
        assert_eq!(bytes.len(), 48_000);
        assert!((seconds - 1.5).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn a_wav_file_says_its_own_format() {
        let raw = RawFormat { sample_rate: Some(8_000), ..RawFormat::default() };
        assert!(matches!(of(b"RIFF", raw, true), Err(SourceError::SaysItself { .. })));
    }

    #[test]
    fn what_is_neither_wav_nor_said_to_be_raw_is_refused() {
        assert!(matches!(of(b"ID3\x04", RawFormat::default(), false), Err(SourceError::NotWav { .. })));
        assert!(matches!(of(b"", RawFormat::default(), false), Err(SourceError::NotWav { .. })));
    }

    #[test]
    fn every_width_that_a_wav_writer_writes_arrives_at_its_length() {
        let check = |bits: u16, float: bool, rate: u32, channels: u16, expected: &WireFormat| {
            let path = tempfile::Builder::new().suffix(".wav").tempfile().unwrap().into_temp_path();
            let format = if float { hound::SampleFormat::Float } else { hound::SampleFormat::Int };
            let spec = hound::WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            for _ in 0..rate * u32::from(channels) {
                if float { writer.write_sample(0.5f32).unwrap() } else { writer.write_sample(64i32).unwrap() }
            }
            writer.finalize().unwrap();
            let source = Source::open(&path, RawFormat::default()).unwrap();
            assert_eq!(source.format(), expected);
            let sample = if expected.encoding == "pcm_f32le" { 4 } else { 2 };
            let (bytes, seconds) = drain(source);
            assert_eq!(bytes.len(), expected.sample_rate as usize * usize::from(expected.channels) * sample);
            assert!((seconds - 1.0).abs() < 1e-9, "{seconds}");
        };
        let s16 = |sample_rate, channels| WireFormat { encoding: "pcm_s16le", sample_rate, channels };
        check(8, false, 8_000, 1, &s16(8_000, 1));
        check(16, false, 44_100, 2, &s16(44_100, 2));
        check(24, false, 48_000, 1, &s16(48_000, 1));
        check(32, false, 22_050, 2, &s16(22_050, 2));
        check(32, true, 16_000, 1, &WireFormat { encoding: "pcm_f32le", sample_rate: 16_000, channels: 1 });
        check(16, false, 96_000, 2, &s16(48_000, 2));
        check(32, true, 192_000, 1, &s16(48_000, 1));
    }
}
