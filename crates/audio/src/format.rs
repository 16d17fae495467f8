//! What the client says its bytes are.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::{AudioError, SAMPLE_RATE};

/// The sample rates that are taken, in Hz.
pub const SAMPLE_RATES: RangeInclusive<u32> = 8_000..=48_000;

/// How one sample is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// 16-bit signed, little-endian.
    #[default]
    PcmS16le,
    /// 32-bit float, little-endian, full scale ±1.
    PcmF32le,
    /// ITU-T G.711 µ-law.
    Mulaw,
    /// ITU-T G.711 A-law.
    Alaw,
}

impl Encoding {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PcmS16le => "pcm_s16le",
            Self::PcmF32le => "pcm_f32le",
            Self::Mulaw => "mulaw",
            Self::Alaw => "alaw",
        }
    }

    /// Bytes of one sample of one channel.
    #[must_use]
    pub const fn bytes_per_sample(self) -> usize {
        match self {
            Self::PcmS16le => 2,
            Self::PcmF32le => 4,
            Self::Mulaw | Self::Alaw => 1,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = AudioError;

    fn from_str(name: &str) -> Result<Self, AudioError> {
        [Self::PcmS16le, Self::PcmF32le, Self::Mulaw, Self::Alaw]
            .into_iter()
            .find(|encoding| encoding.name() == name)
            .ok_or_else(|| AudioError::UnknownEncoding(name.to_owned()))
    }
}

/// How many channels are interleaved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One.
    #[default]
    Mono,
    /// Two, left before right.
    Stereo,
}

impl Channels {
    /// 1 or 2.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Mono => 1,
            Self::Stereo => 2,
        }
    }
}

impl TryFrom<u32> for Channels {
    type Error = AudioError;

    fn try_from(count: u32) -> Result<Self, AudioError> {
        match count {
            1 => Ok(Self::Mono),
            2 => Ok(Self::Stereo),
            _ => Err(AudioError::UnsupportedChannels(count)),
        }
    }
}

/// A client's audio format, checked. The default is 16 kHz mono 16-bit, which costs nothing to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    encoding: Encoding,
    sample_rate: u32,
    channels: Channels,
}

impl Default for Format {
    fn default() -> Self {
        Self { encoding: Encoding::default(), sample_rate: SAMPLE_RATE, channels: Channels::default() }
    }
}

impl Format {
    /// # Errors
    /// [`AudioError::SampleRateOutOfRange`], [`AudioError::UnsupportedChannels`].
    pub fn new(encoding: Encoding, sample_rate: u32, channels: u32) -> Result<Self, AudioError> {
        if !SAMPLE_RATES.contains(&sample_rate) {
            return Err(AudioError::SampleRateOutOfRange(sample_rate));
        }
        Ok(Self { encoding, sample_rate, channels: Channels::try_from(channels)? })
    }

    /// How one sample is written.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        self.encoding
    }

    /// Samples a second of each channel, in [`SAMPLE_RATES`].
    #[must_use]
    pub const fn sample_rate(self) -> u32 {
        self.sample_rate
    }

    /// Mono or stereo.
    #[must_use]
    pub const fn channels(self) -> Channels {
        self.channels
    }

    /// Bytes of one sample of every channel.
    #[must_use]
    pub const fn bytes_per_frame(self) -> usize {
        self.encoding.bytes_per_sample() * self.channels.count()
    }

    /// Bytes of one second.
    #[must_use]
    pub const fn bytes_per_second(self) -> usize {
        self.bytes_per_frame() * self.sample_rate as usize
    }
}
