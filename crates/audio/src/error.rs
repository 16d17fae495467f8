//! What can be wrong with what a client says about its audio. The audio itself is never wrong: any bytes decode.

/// A parameter that cannot be served. The message names the field, the value and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AudioError {
    /// Not the name of an [`Encoding`](crate::Encoding).
    #[error("encoding is {0:?}; it must be one of pcm_s16le, pcm_f32le, mulaw, alaw")]
    UnknownEncoding(String),
    /// Outside of [`SAMPLE_RATES`](crate::SAMPLE_RATES).
    #[error("sample_rate is {0}; it must be from 8000 to 48000")]
    SampleRateOutOfRange(u32),
    /// Neither mono nor stereo.
    #[error("channels is {0}; it must be 1 or 2 (interleaved)")]
    UnsupportedChannels(u32),
    /// Not the name of a [`VadKind`](crate::VadKind).
    #[error("vad is {0:?}; it must be one of {names}", names = crate::VadKind::NAMES)]
    UnknownVad(String),
}
