//! What stands in the frames.

use std::time::Duration;

use bytes::Bytes;
use dalston_protocol::{
    ApiError, Close, ErrorCode, LeaseId, RequestId, SessionId,
    realtime::{ClientMessage, ServerMessage, SessionConfig},
};
use dalston_telemetry::{SessionOutcome, TraceContext};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_tungstenite::tungstenite::Message;

use super::MAX_AUDIO;
use crate::link::{Continuation, Departure, FromWorker, Refusal, SessionOffer, Spoken, ToWorker};

/// A frame that is not of this protocol. What stood in it is told to nobody: it may be what somebody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is not of this protocol")]
pub(super) struct Garbage;

/// What a session asks for, as far as it does not stand in the upgrade's headers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    session_id: SessionId,
    tenant: String,
    lease: LeaseId,
    config: SessionConfig,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    continues: Option<Box<Continuation>>,
}

impl Offer {
    pub(super) fn with(self, request_id: RequestId, trace: TraceContext) -> SessionOffer {
        let Self { session_id, tenant, lease, config, continues } = self;
        SessionOffer { session_id, request_id, tenant: tenant.into(), lease, config, trace, continues }
    }
}

impl From<&SessionOffer> for Offer {
    fn from(offer: &SessionOffer) -> Self {
        let SessionOffer { session_id, tenant, lease, config, continues, .. } = offer.clone();
        Self { session_id, tenant: tenant.as_ref().into(), lease, config, continues }
    }
}

/// The worker's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Accepted,
    Full,
    Draining,
    Unreachable(String),
    Rejected { code: ErrorCode, message: String, param: Option<String>, retry_after: Option<f64> },
}

impl Answer {
    pub(super) fn into_result(self) -> Result<(), Refusal> {
        Err(match self {
            Self::Accepted => return Ok(()),
            Self::Full => Refusal::Full,
            Self::Draining => Refusal::Draining,
            Self::Unreachable(why) => Refusal::Unreachable(why),
            Self::Rejected { code, message, param, retry_after } => {
                Refusal::Rejected(ApiError { code, message, param, retry_after })
            }
        })
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Full,
            Refusal::Draining => Self::Draining,
            Refusal::Unreachable(why) => Self::Unreachable(why),
            Refusal::Rejected(ApiError { code, message, param, retry_after }) => {
                Self::Rejected { code, message, param, retry_after }
            }
        }
    }
}

/// What the gateway says in text frames.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GatewaySays {
    Message(Box<ClientMessage>),
    Close(Box<Close>),
    Gone { outcome: String, close_code: u16 },
    Vanished,
}

/// What the worker says once it has taken the session.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WorkerSays {
    Event(Box<ServerMessage>),
    Settled { micros: u64 },
    Spoken { channel: u8, until_micros: u64, speech_micros: u64 },
    Leaving,
    Closed(Box<Close>),
}

/// What one end of the link sends, frame by frame.
pub(super) trait Outgoing: Sized + Send {
    /// Whether nothing follows it.
    fn is_last(&self) -> bool;

    /// The next frame, and what is left to be sent of it.
    fn next_frame(self) -> (Message, Option<Self>);
}

impl Outgoing for ToWorker {
    fn is_last(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Gone(_))
    }

    fn next_frame(self) -> (Message, Option<Self>) {
        let says = match self {
            Self::Audio(mut bytes) => {
                let first = bytes.split_to(bytes.len().min(MAX_AUDIO));
                return (Message::Binary(first), (!bytes.is_empty()).then_some(Self::Audio(bytes)));
            }
            Self::Message(message) => GatewaySays::Message(message),
            Self::Close(close) => GatewaySays::Close(close),
            Self::Gone(Departure { outcome, close_code }) => {
                GatewaySays::Gone { outcome: outcome.as_str().to_owned(), close_code }
            }
        };
        (text(&says), None)
    }
}

impl Outgoing for FromWorker {
    fn is_last(&self) -> bool {
        matches!(self, Self::Closed(_))
    }

    fn next_frame(self) -> (Message, Option<Self>) {
        let says = match self {
            Self::Event(event) => WorkerSays::Event(event),
            Self::Settled(until) => WorkerSays::Settled { micros: until.as_micros() as u64 },
            Self::Spoken(spoken) => WorkerSays::Spoken {
                channel: spoken.channel,
                until_micros: spoken.until.as_micros() as u64,
                speech_micros: spoken.speech.as_micros() as u64,
            },
            Self::Leaving => WorkerSays::Leaving,
            Self::Closed(close) => WorkerSays::Closed(close),
        };
        (text(&says), None)
    }
}

/// What one end of the link receives.
pub(super) trait Received: Sized + Send {
    fn audio(bytes: Bytes) -> Result<Self, Garbage>;
    fn text(text: &str) -> Result<Self, Garbage>;
}

/// What a worker hears.
#[derive(Debug)]
pub(super) enum FromGateway {
    Says(ToWorker),
    /// The client left without a word, and nothing follows.
    Vanished,
}

impl Received for FromGateway {
    fn audio(bytes: Bytes) -> Result<Self, Garbage> {
        Ok(Self::Says(ToWorker::Audio(bytes)))
    }

    fn text(text: &str) -> Result<Self, Garbage> {
        Ok(Self::Says(match read(text)? {
            GatewaySays::Message(message) => ToWorker::Message(message),
            GatewaySays::Close(close) => ToWorker::Close(close),
            GatewaySays::Gone { outcome, close_code } => {
                let outcome = SessionOutcome::ALL.into_iter().find(|known| known.as_str() == outcome);
                ToWorker::Gone(Departure { outcome: outcome.ok_or(Garbage)?, close_code })
            }
            GatewaySays::Vanished => return Ok(Self::Vanished),
        }))
    }
}

impl Received for FromWorker {
    fn audio(_: Bytes) -> Result<Self, Garbage> {
        Err(Garbage)
    }

    fn text(text: &str) -> Result<Self, Garbage> {
        Ok(match read(text)? {
            WorkerSays::Event(event) => Self::Event(event),
            WorkerSays::Settled { micros } => Self::Settled(Duration::from_micros(micros)),
            WorkerSays::Spoken { channel, until_micros, speech_micros } => Self::Spoken(Box::new(Spoken {
                channel,
                until: Duration::from_micros(until_micros),
                speech: Duration::from_micros(speech_micros),
            })),
            WorkerSays::Leaving => Self::Leaving,
            WorkerSays::Closed(close) => Self::Closed(close),
        })
    }
}

/// The gateway's word for a client that left without one.
pub(super) fn vanished() -> Message {
    text(&GatewaySays::Vanished)
}

pub(super) fn text<T: Serialize>(says: &T) -> Message {
    Message::Text(serde_json::to_string(says).expect("what is said has a JSON form").into())
}

pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Garbage> {
    serde_json::from_str(text).map_err(|_| Garbage)
}
