//! What travels between the server, the host and the streams: small, binary, little-endian, and never trusted.
//!
//! Two kinds of socket carry it. The control socket keeps message borders (`SOCK_SEQPACKET`) and carries [`Order`]s and
//! [`Report`]s; a fork's socket rides beside its order as a file descriptor. A stream's socket is a byte stream of frames (a length,
//! then that many bytes) and carries [`Request`]s and [`Answer`]s, strictly in turn: one request, one answer.

mod bytes;

use dalston_engine_sdk::{Caller, EngineError, Hypothesis, MAX_ADAPTATION, Profile, StreamOptions};

use bytes::{Reader, Writer};

/// Longest control message. Options with a hundred terms of fifty characters are a tenth of it, a text to align a quarter.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Longest frame on a stream's socket; a longer one is garbage.
pub const MAX_FRAME: usize = 1024 * 1024;
/// Bytes of a frame's length.
pub const LENGTH: usize = 4;

/// Server to host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Fork a stream that talks on the descriptor beside this message.
    Fork { id: u64, options: StreamOptions },
    /// End a stream's process now.
    Kill { id: u64 },
}

/// Host to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The model is loaded.
    Ready,
    /// It could not be loaded; the host ends.
    LoadFailed(EngineError),
    /// A stream runs.
    Forked { id: u64, pid: u32 },
    /// A stream could not be made.
    Refused { id: u64, error: EngineError },
    /// A stream's process is gone.
    Ended { id: u64, how: Exit },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Server to stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// What an earlier stream of the session has learned. Has no answer.
    Adapt(Vec<u8>),
    /// More of the utterance.
    Audio { want_partial: bool, samples: Vec<i16> },
    /// The utterance is whole.
    Finish,
}

/// Stream to server.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The audio is decoded.
    Decoded(Option<Hypothesis>),
    /// The utterance's words, and what was learned.
    Final { hypothesis: Hypothesis, adaptation: Vec<u8> },
    /// The engine failed; the process ends.
    Failed(EngineError),
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("garbage")]
pub struct Garbage;

/// A message with a form in bytes.
pub trait Message: Sized {
    /// Appends the message.
    fn write(&self, to: &mut Writer);
    /// Reads a whole message.
    fn read(from: &mut Reader<'_>) -> Result<Self, Garbage>;

    /// The message alone.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.0
    }

    /// The message as a frame.
    fn frame(&self) -> Vec<u8> {
        let mut writer = Writer(vec![0; LENGTH]);
        self.write(&mut writer);
        let length = u32::try_from(writer.0.len() - LENGTH).expect("a frame is at most a second of audio");
        writer.0[..LENGTH].copy_from_slice(&length.to_le_bytes());
        writer.0
    }

    /// A message and nothing behind it.
    fn decode(bytes: &[u8]) -> Result<Self, Garbage> {
        let mut reader = Reader(bytes);
        let message = Self::read(&mut reader)?;
        if reader.0.is_empty() { Ok(message) } else { Err(Garbage) }
    }
}

impl Message for Order {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Fork { id, options } => {
                to.u8(1);
                to.u64(*id);
                to.text(&options.language);
                to.u8(match options.profile {
                    Profile::LowLatency => 1,
                    Profile::Balanced => 2,
                    Profile::Accurate => 3,
                });
                to.list(&options.vocabulary, |to, term| to.text(term));
                to.u8(u8::from(options.text.is_some()));
                options.text.iter().for_each(|text| to.text(text));
                to.u8(u8::from(options.translate));
            }
            Self::Kill { id } => {
                to.u8(2);
                to.u64(*id);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Garbage> {
        Ok(match from.u8()? {
            1 => {
                let id = from.u64()?;
                let language = from.text()?;
                let profile = match from.u8()? {
                    1 => Profile::LowLatency,
                    2 => Profile::Balanced,
                    3 => Profile::Accurate,
                    _ => return Err(Garbage),
                };
                let vocabulary = from.list(Reader::text)?;
                let text = if from.bool()? { Some(from.text()?) } else { None };
                let translate = from.bool()?;
                // For whom it works is nothing to native code, which makes no requests.
                let caller = Caller::default();
                Self::Fork { id, options: StreamOptions { language, profile, vocabulary, text, translate, caller } }
            }
            2 => Self::Kill { id: from.u64()? },
            _ => return Err(Garbage),
        })
    }
}

impl Message for Report {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Ready => to.u8(1),
            Self::LoadFailed(error) => {
                to.u8(2);
                to.error(error);
            }
            Self::Forked { id, pid } => {
                to.u8(3);
                to.u64(*id);
                to.u32(*pid);
            }
            Self::Refused { id, error } => {
                to.u8(4);
                to.u64(*id);
                to.error(error);
            }
            Self::Ended { id, how } => {
                to.u8(5);
                to.u64(*id);
                let (kind, number) = match *how {
                    Exit::Code(code) => (1, code),
                    Exit::Signal(signal) => (2, signal),
                };
                to.u8(kind);
                to.u32(number.cast_unsigned());
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Garbage> {
        Ok(match from.u8()? {
            1 => Self::Ready,
            2 => Self::LoadFailed(from.error()?),
            3 => Self::Forked { id: from.u64()?, pid: from.u32()? },
            4 => Self::Refused { id: from.u64()?, error: from.error()? },
            5 => {
                let id = from.u64()?;
                let how = match (from.u8()?, from.u32()?.cast_signed()) {
                    (1, code) => Exit::Code(code),
                    (2, signal) => Exit::Signal(signal),
                    _ => return Err(Garbage),
                };
                Self::Ended { id, how }
            }
            _ => return Err(Garbage),
        })
    }
}

impl Request {
    /// The frame of [`Request::Audio`] without a copy of the samples in between.
    pub fn audio_frame(samples: &[i16], want_partial: bool) -> Vec<u8> {
        let mut writer = Writer(Vec::with_capacity(LENGTH + 2 + samples.len() * 2));
        writer.u32(u32::try_from(2 + samples.len() * 2).expect("at most a second of audio"));
        writer.audio(samples, want_partial);
        writer.0
    }
}

impl Message for Request {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Adapt(adaptation) => {
                to.u8(1);
                to.bytes(adaptation);
            }
            Self::Audio { want_partial, samples } => to.audio(samples, *want_partial),
            Self::Finish => to.u8(3),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Garbage> {
        Ok(match from.u8()? {
            1 => Self::Adapt(from.bytes(MAX_ADAPTATION)?.to_vec()),
            2 => Self::Audio { want_partial: from.bool()?, samples: from.samples()? },
            3 => Self::Finish,
            _ => return Err(Garbage),
        })
    }
}

impl Message for Answer {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Decoded(None) => to.u8(1),
            Self::Decoded(Some(hypothesis)) => {
                to.u8(2);
                to.hypothesis(hypothesis);
            }
            Self::Final { hypothesis, adaptation } => {
                to.u8(3);
                to.hypothesis(hypothesis);
                to.bytes(adaptation);
            }
            Self::Failed(error) => {
                to.u8(4);
                to.error(error);
            }
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Garbage> {
        Ok(match from.u8()? {
            1 => Self::Decoded(None),
            2 => Self::Decoded(Some(from.hypothesis()?)),
            3 => Self::Final { hypothesis: from.hypothesis()?, adaptation: from.bytes(MAX_ADAPTATION)?.to_vec() },
            4 => Self::Failed(from.error()?),
            _ => return Err(Garbage),
        })
    }
}

#[cfg(test)]
mod tests;
