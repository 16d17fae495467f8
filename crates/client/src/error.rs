//! What can go wrong between a client and its server. Each message says what the user can do.

use std::{io, path::PathBuf, time::Duration};

use dalston_protocol::ErrorCode;

use tokio_tungstenite::tungstenite;

/// A text that does not say where a server is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not the address of a server: {why}; give one such as http://127.0.0.1:8000")]
pub struct InvalidEndpoint {
    pub(crate) given: String,
    pub(crate) why: &'static str,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The machine is there and nothing listens.
    #[error("nothing listens at {authority}; start a server there with `dalston serve`")]
    NobodyThere {
        /// Host and port.
        authority: String,
    },
    /// The network did not lead there.
    #[error("cannot reach {authority}: {source}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the network said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{authority} did not answer within {waited:?}")]
    Timeout {
        /// Host and port.
        authority: String,
        /// How long was waited.
        waited: Duration,
    },
    /// An HTTP answer instead of a WebSocket.
    #[error("{authority} refused the session with HTTP {status}: {message}")]
    Refused {
        /// Host and port.
        authority: String,
        /// The status.
        status: u16,
        /// The server's own words, or what the status is called.
        message: String,
    },
    /// Whatever answers is not a WebSocket server.
    #[error("{authority} does not speak WebSocket: {why}")]
    NotWebSocket {
        /// Host and port.
        authority: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// A header's value cannot be sent.
    #[error("the {name} cannot be sent in a header: it holds a character outside printable ASCII")]
    BadHeader {
        /// What it was meant to be; never its value, which may be a secret.
        name: &'static str,
    },
}

impl ConnectError {
    /// Whether the same may succeed a moment later: another server listens there by then, or the network is back.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            // What breaks in the middle of its handshake does not look like a WebSocket.
            Self::NobodyThere { .. } | Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotWebSocket { .. } => {
                true
            }
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::BadHeader { .. } => false,
        }
    }
}

/// Why nothing came of a call about jobs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobsError {
    /// The machine is there and nothing listens.
    #[error("nothing listens at {authority}; start a server there with `dalston serve`")]
    NobodyThere {
        /// Host and port.
        authority: String,
    },
    /// The network did not lead there.
    #[error("cannot reach {authority}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the network said.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{authority} did not answer within {waited:?}")]
    Timeout {
        /// Host and port.
        authority: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection ended before the answer did.
    #[error("the connection to {authority} broke: {why}")]
    Broken {
        /// Host and port.
        authority: String,
        /// What was seen of it.
        why: String,
    },
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// Host and port.
        authority: String,
        /// The HTTP status.
        status: u16,
        /// The error's code, from a server that speaks this API.
        code: Option<ErrorCode>,
        /// The server's own words, or what the status is called.
        message: String,
    },
    /// The server told of an error while it told of a job.
    #[error("{message}")]
    Told {
        /// Its code.
        code: ErrorCode,
        /// The server's own words.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A header's value cannot be sent.
    #[error("the {name} cannot be sent in a header: it holds a character outside printable ASCII")]
    BadHeader {
        /// What it was meant to be; never its value, which may be a secret.
        name: &'static str,
    },
    /// Something that is not of this protocol.
    #[error("the server does not speak this protocol: {0}")]
    Unspeakable(String),
}

/// Why an open session broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The server has ended the session, so nothing can be sent. Its events say why.
    #[error("the server has ended the session")]
    Ended,
    /// The connection ended without a close frame: the server died or the network did.
    #[error("the connection was lost before the session ended: {0}")]
    Lost(String),
    /// The server sent a frame that is not of this protocol. The session goes on.
    #[error("the server sent a message that this client does not know: {0}")]
    UnknownMessage(String),
}

impl From<tungstenite::Error> for StreamError {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(tungstenite::error::ProtocolError::SendAfterClosing) => Self::Ended,
            Error::Io(io) => Self::Lost(io.to_string()),
            other => Self::Lost(other.to_string()),
        }
    }
}
