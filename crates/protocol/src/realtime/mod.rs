//! The native realtime protocol: `GET /v1/audio/transcriptions/stream`.

mod config;
mod message;
mod query;
mod resume;
mod transcript;

pub use config::{Endpointing, Retention, SessionConfig};
pub use message::{ClientMessage, ConfigUpdate, FinalCause, ServerMessage, SessionEnd, SessionInfo, TranscriptFinal};
pub use query::{ParsedQuery, parse_query};
pub use resume::{Attachment, InvalidToken, Resume, ResumeOffer, ResumeToken, Resumed};
pub use transcript::SessionTranscript;

/// Where the native WebSocket stands.
pub const STREAM_PATH: &str = "/v1/audio/transcriptions/stream";
