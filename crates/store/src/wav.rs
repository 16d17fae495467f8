//! The header of a WAV file that holds a client's bytes as they came.
//!
//! The layout is RIFF/WAVE with one `fmt ` and one `data` chunk; anything but PCM has the long `fmt ` and a `fact` chunk as
//! well (Microsoft, "Multiple Channel Audio Data and WAVE Files"). The sizes stand in front of what they measure, so a file
//! that is still growing carries zeros there until its end is known.

use dalston_protocol::realtime::SessionConfig;

/// The most data a file can hold: its sizes are 32 bits, and the largest header and a byte of padding must fit too.
pub(crate) const MAX_DATA: u64 = u32::MAX as u64 - 64;

/// How the samples of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WavFormat {
    code: FormatCode,
    channels: u16,
    sample_rate: u32,
}

/// `wFormatTag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum FormatCode {
    Pcm16 = 1,
    Float32 = 3,
    Alaw = 6,
    Mulaw = 7,
}

impl FormatCode {
    const fn bytes_per_sample(self) -> u16 {
        match self {
            Self::Pcm16 => 2,
            Self::Float32 => 4,
            Self::Alaw | Self::Mulaw => 1,
        }
    }
}

impl WavFormat {
    /// The format of what the client sends; `None` for an encoding that WAV has no code for here.
    pub(crate) fn of(config: &SessionConfig) -> Option<Self> {
        let code = match config.encoding.as_str() {
            "pcm_s16le" => FormatCode::Pcm16,
            "pcm_f32le" => FormatCode::Float32,
            "alaw" => FormatCode::Alaw,
            "mulaw" => FormatCode::Mulaw,
            _ => return None,
        };
        Some(Self { code, channels: config.channels.into(), sample_rate: config.sample_rate })
    }

    /// Bytes of one sample of every channel.
    pub(crate) fn frame(self) -> u64 {
        u64::from(self.code.bytes_per_sample()) * u64::from(self.channels).max(1)
    }

    /// The part of `bytes` that is whole frames.
    pub(crate) fn whole_frames(self, bytes: u64) -> u64 {
        bytes - bytes % self.frame()
    }

    /// How long that much data sounds.
    pub(crate) fn seconds(self, data: u64) -> f64 {
        (data / self.frame()) as f64 / f64::from(self.sample_rate.max(1))
    }

    /// Bytes before the data.
    pub(crate) const fn header_len(self) -> u64 {
        match self.code {
            FormatCode::Pcm16 => 44,
            _ => 58,
        }
    }

    /// The length of a file with that much data: chunks begin at even offsets, so odd data is padded.
    pub(crate) fn file_len(self, data: u64) -> u64 {
        self.header_len() + data + data % 2
    }

    /// The header of a file with `data` bytes, at most [`MAX_DATA`].
    pub(crate) fn header(self, data: u64) -> Vec<u8> {
        let field = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        let frame = self.frame() as u16;
        let bytes_per_second = u64::from(frame) * u64::from(self.sample_rate);
        let mut header = Vec::with_capacity(58);
        header.extend_from_slice(b"RIFF");
        header.extend_from_slice(&field(self.file_len(data) - 8));
        header.extend_from_slice(b"WAVEfmt ");
        header.extend_from_slice(&field(if self.code == FormatCode::Pcm16 { 16 } else { 18 }));
        header.extend_from_slice(&(self.code as u16).to_le_bytes());
        header.extend_from_slice(&self.channels.to_le_bytes());
        header.extend_from_slice(&self.sample_rate.to_le_bytes());
        header.extend_from_slice(&field(bytes_per_second));
        header.extend_from_slice(&frame.to_le_bytes());
        header.extend_from_slice(&(8 * self.code.bytes_per_sample()).to_le_bytes());
        if self.code != FormatCode::Pcm16 {
            // No extension follows the format; the fact chunk counts the samples of one channel.
            header.extend_from_slice(&0u16.to_le_bytes());
            header.extend_from_slice(b"fact");
            header.extend_from_slice(&field(4));
            header.extend_from_slice(&field(data / self.frame()));
        }
        header.extend_from_slice(b"data");
        header.extend_from_slice(&field(data));
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(encoding: &str, channels: u8) -> WavFormat {
        let config = SessionConfig { encoding: encoding.into(), channels, ..SessionConfig::default() };
        WavFormat::of(&config).unwrap()
    }

    #[test]
    fn every_header_is_as_long_as_it_says() {
        for (encoding, code) in [("pcm_s16le", 1), ("pcm_f32le", 3), ("alaw", 6), ("mulaw", 7)] {
            for channels in [1, 2] {
                let format = format(encoding, channels);
                let header = format.header(8);
                assert_eq!(header.len() as u64, format.header_len(), "{encoding}");
                assert_eq!(header[20], code, "{encoding}");
                assert_eq!(header[4..8], (format.file_len(8) as u32 - 8).to_le_bytes(), "{encoding}");
            }
        }
    }

    #[test]
    fn odd_data_is_padded_and_half_a_frame_is_not_data() {
        let format = format("mulaw", 1);
        assert_eq!(format.file_len(3), 58 + 4);
        assert_eq!(self::format("pcm_s16le", 2).whole_frames(11), 8);
    }

    #[test]
    fn the_largest_file_fits_its_own_sizes() {
        let header = format("alaw", 1).header(MAX_DATA);
        assert_ne!(header[4..8], u32::MAX.to_le_bytes());
        assert_eq!(header[54..58], (MAX_DATA as u32).to_le_bytes());
    }

    #[test]
    fn an_unknown_encoding_has_no_header() {
        let config = SessionConfig { encoding: "opus".into(), ..SessionConfig::default() };
        assert_eq!(WavFormat::of(&config), None);
    }
}
