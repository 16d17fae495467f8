//! The link from a gateway to the worker it was given: one session, both ways.
//!
//! In one process it is a pair of channels; across machines a WebSocket. Whoever holds either end sees the same:
//!
//! * The gateway sends audio, messages, and at most one last word: [`ToWorker::Close`], or [`ToWorker::Gone`] when it knows how
//!   the client left. Dropping the sender without either means that the client vanished. A worker whose client is gone answers
//!   for what it received, as it does after `end`.
//! * A session that another worker had begins with a word of the gateway's, a `keepalive`: it knows that the session is here
//!   now. A worker that never hears one was too late with its answer, and the session is elsewhere.
//! * The worker sends events and, last of all, exactly one [`FromWorker::Closed`]. A receiver that ends without it means that
//!   the worker died.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dalston_protocol::{
    ApiError, Close, LeaseId, RequestId, SessionId,
    realtime::{ClientMessage, ServerMessage, SessionConfig},
};
use dalston_telemetry::{SessionOutcome, TraceContext};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// A session that a worker is asked to take.
#[derive(Debug, Clone)]
pub struct SessionOffer {
    /// The session.
    pub session_id: SessionId,
    /// The request that opened it.
    pub request_id: RequestId,
    /// Whose session it is: the id of the API key, or `anonymous`.
    pub tenant: Arc<str>,
    /// The slot that was reserved for it.
    pub lease: LeaseId,
    /// What the client asked for.
    pub config: SessionConfig,
    /// The span that the worker's session span stands under.
    pub trace: TraceContext,
    /// Set when another worker had the session before. Boxed: most begin here.
    pub continues: Option<Box<Continuation>>,
}

/// From the gateway to the worker. Small, because channels allocate slots ahead.
#[derive(Debug, PartialEq)]
pub enum ToWorker {
    /// Audio bytes as the client sent them.
    Audio(Bytes),
    /// A control message.
    Message(Box<ClientMessage>),
    /// End the session with this close. What was received before is answered first, unless the client is at fault.
    Close(Box<Close>),
    /// The client is gone, in this way. What was received before is answered, for the record: nobody hears it.
    Gone(Departure),
}

/// How a client left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// What that makes of the session.
    pub outcome: SessionOutcome,
    /// The close code: the client's own, ours, 1005 for a close frame without one, 1006 for no close frame (RFC 6455 §7.4.1).
    pub close_code: u16,
}

impl Departure {
    /// Without a word.
    pub const VANISHED: Self = Self { outcome: SessionOutcome::ClientGone, close_code: 1006 };
    /// It is not gone: another worker goes on with the session. This one forgets it and keeps nothing of it.
    pub const MOVED: Self = Self { outcome: SessionOutcome::Moved, close_code: 1012 };
}

/// From the worker to the gateway.
#[derive(Debug, PartialEq)]
pub enum FromWorker {
    /// An event for the client.
    Event(Box<ServerMessage>),
    /// For the gateway: all audio before this time of the session's clock has been answered for, or held no speech. If the worker
    /// dies, what comes after it has to be heard again and nothing else. A final says the same of its own channel up to its end.
    Settled(Duration),
    /// For the gateway: an utterance has ended. Comes before what is said of it, if anything is. Boxed: they are few.
    Spoken(Box<Spoken>),
    /// For the gateway: the worker is going down. It goes on with the session for a while; if another one can have it, better
    /// take it there.
    Leaving,
    /// The session is over. Nothing follows.
    Closed(Box<Close>),
}

/// How much speech was found in an utterance, whatever its recogniser will make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    /// Which channel.
    pub channel: u8,
    /// Where its speech ended on the session's clock.
    pub until: Duration,
    /// How long it was.
    pub speech: Duration,
}

/// The gateway's end of an open session.
#[derive(Debug)]
pub struct SessionChannel {
    /// Full while the worker's own queue of audio is full; the gateway then stops reading the socket.
    pub to_worker: mpsc::Sender<ToWorker>,
    /// Full while the client does not read; the worker then drops partials and waits with everything else, up to a limit.
    pub from_worker: mpsc::Receiver<FromWorker>,
}

/// Why a worker did not take a session.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It has no room after all. Another worker may.
    #[error("worker is full")]
    Full,
    /// It is going down. Another worker may.
    #[error("worker is draining")]
    Draining,
    /// It did not answer. Another worker may.
    #[error("worker is unreachable: {0}")]
    Unreachable(String),
    /// The session itself cannot be served, here or elsewhere.
    #[error(transparent)]
    Rejected(ApiError),
}

/// A way to one worker.
pub trait WorkerLink: Send + Sync + 'static {
    /// Hands the session to the worker. The caller bounds the wait and may drop the future at any time: a session whose opener
    /// is gone ends at once.
    fn open(&self, offer: SessionOffer) -> BoxFuture<'_, Result<SessionChannel, Refusal>>;
}

mod continuation;
mod in_process;
mod remote;

pub use continuation::{Continuation, Progress};
pub use in_process::{InProcessLink, Incoming, WorkerChannel, WorkerPort, in_process};
pub use remote::{ClusterSecret, Liveness, RemoteError, ServerSettings, WebSocketLink, WorkerServer};
