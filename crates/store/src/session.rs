//! A session as it is handed to the archive, and as it comes back.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use dalston_protocol::{
    RequestId, Segment, SessionId,
    realtime::{Retention, SessionConfig, SessionEnd},
};
use serde::{Deserialize, Serialize};

use crate::{Incarnation, spool::Spooled};

/// What is known of a session when it begins.
#[derive(Debug, Clone)]
pub struct RecordingStart {
    /// The session.
    pub session_id: SessionId,
    /// The request that opened it.
    pub request_id: RequestId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What the client asked for.
    pub config: SessionConfig,
    /// The language settled on.
    pub language: String,
    /// The engine and its model.
    pub model: String,
    /// When it began.
    pub started_at: SystemTime,
    /// Which part of its life is recorded.
    pub incarnation: Incarnation,
}

/// What is known when it ended.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// How it ended, in one word: the same as in the metric and the trace.
    pub outcome: String,
    /// What the WebSocket was closed with, by either side; 1006 when it was not.
    pub close_code: u16,
    /// What was said.
    pub end: SessionEnd,
    /// When it ended.
    pub ended_at: SystemTime,
    /// Its trace, when it has one.
    pub trace_id: Option<String>,
}

/// A kept session without its words. The JSON is the API's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session.
    pub session_id: SessionId,
    /// The request that opened it.
    pub request_id: RequestId,
    /// Its trace, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// How it ended, in one word.
    pub outcome: String,
    /// What the WebSocket was closed with, by either side; 1006 when it was not.
    pub close_code: u16,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// When it ended.
    #[serde(with = "rfc3339")]
    pub ended_at: SystemTime,
    /// From when on it is no longer found; absent when it is kept until it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339::option")]
    pub expires_at: Option<SystemTime>,
    /// The language settled on.
    pub language: String,
    /// The engine and its model.
    pub model: String,
    /// Audio received, seconds on the client's clock.
    pub audio_seconds: f64,
    /// Of it, inside utterances.
    pub speech_seconds: f64,
    /// Utterances with words.
    pub segments: usize,
    /// What is kept of the audio; absent when it was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<StoredAudio>,
    /// What the client asked for.
    pub config: SessionConfig,
}

/// What is kept of a session's audio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StoredAudio {
    /// Whether it is all that was received. If not, it is the beginning, maybe nothing.
    pub complete: bool,
    /// Size of the WAV file; 0 when there is none.
    pub bytes: u64,
    /// How long it sounds.
    pub seconds: f64,
}

/// A kept session with its words. The JSON is the summary's with `transcript` beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSession {
    /// What ran.
    #[serde(flatten)]
    pub summary: SessionSummary,
    /// What was said.
    pub transcript: Transcript,
}

/// What was said, in the shape of every transcript of this API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// All segments, parted by single spaces.
    pub text: String,
    /// The language recognised.
    pub language: String,
    /// Audio received, seconds on the client's clock.
    pub duration: f64,
    /// All utterances in order of their start.
    pub segments: Vec<Segment>,
    /// Set when the session said more than the server keeps, and the oldest part is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// Some of a tenant's sessions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<SessionSummary>,
    /// The cursor that the next page begins after; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<SessionId>,
}

/// `session.json`: the summary, and what the API does not tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SessionFile {
    pub(crate) tenant: Box<str>,
    /// Who wrote it. The files beside it bear it in their names.
    #[serde(default, skip_serializing_if = "Incarnation::is_first")]
    pub(crate) incarnation: Incarnation,
    #[serde(flatten)]
    pub(crate) summary: SessionSummary,
}

impl SessionFile {
    /// As it lies in the spool.
    pub(crate) fn spooled(&self) -> Spooled {
        Spooled { id: self.summary.session_id.clone(), incarnation: self.incarnation }
    }

    /// The file and the transcript beside it. The audio is told later, when the disk has it.
    pub(crate) fn new(start: RecordingStart, record: SessionRecord) -> (Self, Transcript) {
        let end = record.end;
        let summary = SessionSummary {
            session_id: start.session_id,
            request_id: start.request_id,
            trace_id: record.trace_id,
            outcome: record.outcome,
            close_code: record.close_code,
            started_at: start.started_at,
            ended_at: record.ended_at,
            expires_at: expiry(start.config.retention, record.ended_at),
            language: start.language.clone(),
            model: start.model,
            audio_seconds: end.total_audio_seconds,
            speech_seconds: end.total_speech_duration,
            segments: end.segments.len(),
            audio: None,
            config: start.config,
        };
        let transcript = Transcript {
            text: end.transcript,
            language: start.language,
            duration: end.total_audio_seconds,
            segments: end.segments,
            truncated: end.truncated,
        };
        (Self { tenant: start.tenant.as_ref().into(), incarnation: start.incarnation, summary }, transcript)
    }
}

impl SessionSummary {
    /// Whether there is a WAV file.
    pub(crate) fn has_audio(&self) -> bool {
        self.audio.is_some_and(|audio| audio.bytes > 0)
    }

    /// Whether it may no longer be shown.
    pub(crate) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

fn expiry(retention: Retention, ended_at: SystemTime) -> Option<SystemTime> {
    match retention {
        Retention::None => Some(ended_at),
        Retention::Forever => None,
        Retention::Days(days) => Some(ended_at + Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
    }
}

/// Times as the API shows them: RFC 3339, UTC, milliseconds.
mod rfc3339 {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::place::rfc3339(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }

    pub(super) mod option {
        use super::{Deserializer, Serializer, SystemTime};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}
