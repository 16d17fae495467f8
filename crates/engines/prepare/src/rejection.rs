//! What can be wrong with an upload.

use std::time::Duration;

use dalston_engine_sdk::batch::TaskError;
use serde::{Deserialize, Serialize};

/// What is wrong with an upload. To try again would not help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// A container or codec that nobody here can read, or no audio at all.
    #[error("{found} cannot be read; send WAV, FLAC, MP3, Ogg (Opus, Vorbis), WebM, MP4 or M4A (AAC)")]
    Unsupported {
        /// What it seems to be.
        found: String,
    },
    /// No samples.
    #[error("there is no audio in it: {why}")]
    Empty {
        /// No bytes, or no samples.
        why: String,
    },
    /// Looks like something that can be read, and cannot be.
    #[error("it is damaged: {why}")]
    Corrupt {
        /// Where its decoder gave up.
        why: String,
    },
    /// More audio than is allowed.
    #[error("it is longer than {} hours, the longest that is allowed; send it in parts", hours(*.limit))]
    TooLong {
        /// The longest that is allowed.
        limit: Duration,
    },
    /// More audio than a file of its size can be a recording of.
    #[error("more than {} hours of audio unfold from its {bytes} bytes, which is next to nothing but silence; cut it", hours(*.limit))]
    Unfolds {
        /// The size of the upload.
        bytes: u64,
        /// As much as such a file may hold.
        limit: Duration,
    },
    /// More channels than are allowed.
    #[error("it has {found} channels; {limit} are the most")]
    TooManyChannels {
        /// Channels of the upload.
        found: usize,
        /// Most that are allowed.
        limit: u8,
    },
}

impl Rejection {
    /// The code that the API shows.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "unsupported_audio",
            Self::Empty { .. } => "empty_audio",
            Self::Corrupt { .. } => "corrupt_audio",
            Self::TooLong { .. } | Self::Unfolds { .. } => "too_long",
            Self::TooManyChannels { .. } => "too_many_channels",
        }
    }

    pub(crate) fn corrupt(why: impl Into<String>) -> Self {
        Self::Corrupt { why: why.into() }
    }

    pub(crate) fn unsupported(found: impl Into<String>) -> Self {
        Self::Unsupported { found: found.into() }
    }
}

impl From<Rejection> for TaskError {
    fn from(rejection: Rejection) -> Self {
        Self::rejected(rejection.code(), &rejection)
    }
}

fn hours(limit: Duration) -> f64 {
    (limit.as_secs_f64() / 36.0).round() / 100.0
}
