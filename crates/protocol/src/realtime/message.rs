//! What is said over the native WebSocket in text frames.

use serde::{Deserialize, Serialize};

use super::{ResumeOffer, Resumed, query::code};
use crate::{ApiError, ErrorCode, RequestId, Segment, SessionId, Word};

/// A text frame from the client. Audio travels in binary frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Changes how utterances end, from the next utterance on.
    Config(ConfigUpdate),
    /// Ends the utterance now. Answered by a final, or by `flushed` when nothing was said, with the same id.
    Flush {
        /// Chosen by the client, comes back in the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Throws away the current utterance.
    Clear,
    /// Keeps an idle session open; nothing else.
    #[serde(alias = "keep_alive")]
    Keepalive,
    /// No more audio: what was received is answered, then the session ends.
    End,
}

/// The settings that may change while a session is open. An absent field keeps its value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigUpdate {
    /// Silence that ends an utterance, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpointing_ms: Option<u32>,
    /// Speech that begins an utterance, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_speech_ms: Option<u32>,
    /// Audio kept from before the speech, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_padding_ms: Option<u32>,
    /// The longest utterance, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_utterance_s: Option<f64>,
    /// Whether partials are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interim_results: Option<bool>,
    /// Language of the next utterance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

impl ConfigUpdate {
    /// The language wanted from the next utterance on.
    ///
    /// # Errors
    /// Names the field when it cannot be a language's code, as for the parameter of the same name.
    pub fn language(&self) -> Result<Option<&str>, ApiError> {
        let Some(language) = &self.language else { return Ok(None) };
        code("language", language)?;
        Ok(Some(language))
    }
}

impl ClientMessage {
    /// Flush ids are echoed, so they are kept short.
    pub const MAX_FLUSH_ID: usize = 128;

    /// Reads a text frame.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidMessage`], naming the field at fault.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::new(ErrorCode::InvalidMessage, message);
        let hint = "\"type\" is one of config, flush, clear, keepalive, end; audio goes in binary frames";
        // serde would also read a tagged enum out of an array.
        if !text.trim_start().starts_with('{') {
            return Err(invalid(format!("not a JSON object; {hint}")));
        }
        let message: Self =
            serde_json::from_str(text).map_err(|e| invalid(format!("not a message of this protocol: {e}; {hint}")))?;
        match &message {
            Self::Flush { id: Some(id) } if id.len() > Self::MAX_FLUSH_ID => Err(ApiError {
                param: Some("id".into()),
                ..invalid(format!("flush id has {} bytes; at most {} are allowed", id.len(), Self::MAX_FLUSH_ID))
            }),
            _ => Ok(message),
        }
    }
}

/// A text frame from the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// The session is open; audio may be sent from the moment the socket is.
    #[serde(rename = "session.begin")]
    SessionBegin {
        /// The session.
        session_id: SessionId,
        /// The request that opened it.
        request_id: RequestId,
        /// The session's trace, when tracing is on and this session is traced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace_id: Option<String>,
        /// What was settled on.
        config: SessionInfo,
        /// How the session can be resumed, if that was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<ResumeOffer>,
        /// Set when it goes on here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed: Option<Resumed>,
    },
    /// Of a session that can be resumed: what came before is never asked for again. Comes after the finals that it
    /// covers.
    #[serde(rename = "audio.ack")]
    AudioAck {
        /// Bytes of audio since the session's first.
        bytes: u64,
    },
    /// Speech began.
    #[serde(rename = "vad.speech_start")]
    SpeechStart {
        /// Seconds since the first sample.
        timestamp: f64,
        /// The channel, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<u8>,
    },
    /// Speech ended.
    #[serde(rename = "vad.speech_end")]
    SpeechEnd {
        /// Seconds since the first sample.
        timestamp: f64,
        /// The channel, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<u8>,
    },
    /// The words so far. The next partial of the same utterance replaces this one.
    #[serde(rename = "transcript.partial")]
    Partial {
        /// The utterance, `utt_1` onwards.
        utterance_id: String,
        /// The words so far.
        text: String,
        /// Seconds since the first sample.
        start: f64,
        /// Seconds since the first sample: the audio heard so far.
        end: f64,
        /// The channel, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<u8>,
    },
    /// The words of an utterance. Never changes.
    #[serde(rename = "transcript.final")]
    Final(TranscriptFinal),
    /// Answers a `flush` when nothing was said.
    #[serde(rename = "flushed")]
    Flushed {
        /// The id that the flush carried.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// Something the client should know; the session goes on.
    #[serde(rename = "warning")]
    Warning {
        /// `processing_lag`, `waiting_for_stream`, `unknown_parameter`, `audio_lost`, `audio_gap`, `not_kept`,
        /// `worker_moved`, `not_resumable`.
        code: String,
        /// In words.
        message: String,
        /// Received minus processed audio, seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lag_seconds: Option<f64>,
        /// Lag from which this warning is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning_threshold_seconds: Option<f64>,
        /// Lag at which the session ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hard_threshold_seconds: Option<f64>,
    },
    /// Something went wrong. Unless `recoverable`, the close frame follows.
    #[serde(rename = "error")]
    Error {
        /// Of the closed list.
        code: ErrorCode,
        /// What is wrong and what would be right.
        message: String,
        /// The parameter or field at fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        param: Option<String>,
        /// Seconds after which trying again makes sense.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<f64>,
        /// Whether the session goes on.
        recoverable: bool,
    },
    /// Everything received was answered. The close frame follows.
    #[serde(rename = "session.end")]
    SessionEnd(SessionEnd),
}

impl ServerMessage {
    /// An error event; `recoverable` says whether the session goes on.
    pub fn error(error: &ApiError, recoverable: bool) -> Self {
        Self::Error {
            code: error.code,
            message: error.message.clone(),
            param: error.param.clone(),
            retry_after: error.retry_after,
            recoverable,
        }
    }
}

/// What a session settled on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Hertz, of the client's audio.
    pub sample_rate: u32,
    /// Of the client's audio.
    pub encoding: String,
    /// Interleaved channels of the client's audio.
    pub channels: u8,
    /// The language recognised.
    pub language: String,
    /// The engine and its model, `engine/model`.
    pub model: String,
}

/// Why an utterance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalCause {
    /// Silence as long as `endpointing_ms`.
    Endpoint,
    /// The client's `flush`.
    Flush,
    /// `max_utterance_s`: cut at its quietest place, speech goes on in the next utterance.
    Limit,
    /// The session's end.
    End,
}

/// The words of one utterance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptFinal {
    /// The utterance, `utt_1` onwards.
    pub utterance_id: String,
    /// The words.
    pub text: String,
    /// Seconds since the first sample; never before the end of the previous final of the channel.
    pub start: f64,
    /// Seconds since the first sample.
    pub end: f64,
    /// Probability in 0..=1, where the engine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The language recognised.
    pub language: String,
    /// Words with times, with `word_timestamps=true`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// The channel, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u8>,
    /// Why the utterance ended.
    pub cause: FinalCause,
    /// The id of the `flush` that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The whole of a session, in its last message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// The session.
    pub session_id: SessionId,
    /// Audio received, seconds on the client's clock.
    pub total_audio_seconds: f64,
    /// Of it, inside utterances.
    pub total_speech_duration: f64,
    /// All finals in order of their start, parted by single spaces.
    pub transcript: String,
    /// All finals in order of their start.
    pub segments: Vec<Segment>,
    /// Set when the transcript had grown over the server's limit and its oldest part was left out here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::ResumeToken;

    #[test]
    fn client_messages_are_read() {
        let check =
            |text: &str, expected: ClientMessage| assert_eq!(ClientMessage::parse(text), Ok(expected), "{text}");
        check(r#"{"type":"end"}"#, ClientMessage::End);
        check(r#"{"type":"clear"}"#, ClientMessage::Clear);
        check(r#"{"type":"keepalive"}"#, ClientMessage::Keepalive);
        check(r#"{"type":"flush"}"#, ClientMessage::Flush { id: None });
        check(r#"{"type":"flush","id":"a"}"#, ClientMessage::Flush { id: Some("a".into()) });
        check(
            r#"{"type":"config","endpointing_ms":800,"language":"en"}"#,
            ClientMessage::Config(ConfigUpdate {
                endpointing_ms: Some(800),
                language: Some("en".into()),
                ..ConfigUpdate::default()
            }),
        );
    }

    #[test]
    fn a_bad_client_message_names_what_is_wrong() {
        let check = |text: &str, named: &str| {
            let error = ClientMessage::parse(text).expect_err(text);
            assert_eq!(error.code, ErrorCode::InvalidMessage);
            assert!(error.message.contains(named), "{named}: {}", error.message);
        };
        check("hello", "object");
        check(r#"["end"]"#, "object");
        check("{}", "type");
        check(r#"{"type":"stop"}"#, "stop");
        check(r#"{"type":"config","endpoint":1}"#, "endpoint");
        check(r#"{"type":"config","endpointing_ms":-1}"#, "-1");
        check(r#"{"type":"config","endpointing_ms":1e999}"#, "number");
        check(&format!(r#"{{"type":"flush","id":"{}"}}"#, "x".repeat(129)), "129");
        check(&format!(r#"{{"type":"end","x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000)), "recursion");
    }

    #[test]
    fn server_messages_have_their_documented_shape() {
        let check = |message: ServerMessage, expected: &str| {
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(serde_json::to_value(&message).unwrap(), expected);
            assert_eq!(serde_json::from_value::<ServerMessage>(expected).unwrap(), message);
        };
        check(ServerMessage::AudioAck { bytes: 64_000 }, r#"{"type":"audio.ack","bytes":64000}"#);
        let token = format!("ses_1.{}", "x".repeat(ResumeToken::SECRET_CHARS));
        check(
            ServerMessage::SessionBegin {
                session_id: "ses_1".parse().unwrap(),
                request_id: "req_1".parse().unwrap(),
                trace_id: None,
                config: SessionInfo {
                    sample_rate: 8_000,
                    encoding: "mulaw".into(),
                    channels: 1,
                    language: "en".into(),
                    model: "loopback/noise".into(),
                },
                resume: Some(ResumeOffer { token: token.parse().unwrap(), window_seconds: 30.0 }),
                resumed: Some(Resumed { bytes: 16_000, finals: 2 }),
            },
            &format!(
                r#"{{"type":"session.begin","session_id":"ses_1","request_id":"req_1",
                "config":{{"sample_rate":8000,"encoding":"mulaw","channels":1,"language":"en","model":"loopback/noise"}},
                "resume":{{"token":"{token}","window_seconds":30.0}},"resumed":{{"bytes":16000,"finals":2}}}}"#
            ),
        );
        check(
            ServerMessage::SpeechStart { timestamp: 1.23, channel: None },
            r#"{"type":"vad.speech_start","timestamp":1.23}"#,
        );
        check(
            ServerMessage::Final(TranscriptFinal {
                utterance_id: "utt_1".into(),
                text: "go".into(),
                start: 1.5,
                end: 2.5,
                confidence: Some(0.5),
                language: "en".into(),
                words: vec![Word { text: "go".into(), word: "go".into(), start: 1.5, end: 2.0, confidence: None }],
                channel: None,
                cause: FinalCause::Endpoint,
                id: None,
            }),
            r#"{"type":"transcript.final","utterance_id":"utt_1","text":"go","start":1.5,"end":2.5,"confidence":0.5,
                "language":"en","cause":"endpoint","words":[{"word":"go","text":"go","start":1.5,"end":2.0}]}"#,
        );
        check(
            ServerMessage::error(&ApiError::new(ErrorCode::LagExceeded, "too slow"), false),
            r#"{"type":"error","code":"lag_exceeded","message":"too slow","recoverable":false}"#,
        );
    }
}
