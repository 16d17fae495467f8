//! The link across machines: one WebSocket per session.
//!
//! ```text
//! gateway: SessionChannel ─ WebSocketLink ══ws══ WorkerServer ─ in-process link ─ WorkerPort :worker
//! ```
//!
//! * **Upgrade.** The request carries the cluster's secret (`authorization`), the version of what is spoken
//!   (`sec-websocket-protocol`), `x-request-id` and `traceparent`. A wrong secret is answered 401 and another version 426, so
//!   that a gateway of another release goes on to the next worker.
//! * **Offer and answer.** The first text frame says what the session asks for; the worker's first says whether it takes it.
//!   A refusal is an answer, and ends the connection.
//! * **The session.** Audio in binary frames, all else as JSON in text frames. Whoever cannot take more does not read, and TCP
//!   holds the other back; the kernel's buffers are kept small, because audio that waits there is lag that nobody sees.
//! * **Life.** Each side sends an unsolicited pong now and then (RFC 6455 §5.5.3) and gives the other up when it hears nothing
//!   while it listens. It does not count silence while it does not read: what the other says then waits before its door.
//! * **The end.** A worker's last word is `closed`. A connection that ends without it means that the worker died; one that
//!   ends before the gateway said how means that the client vanished.
//!
//! A frame and the event that answers it take a third of a millisecond more than in process, both ways together (an unoptimised
//! build on a busy machine of two cores; `examples/link_cost.rs` measures it).
//!
//! The wire is not encrypted: it belongs in a private network, and the server refuses to listen on a public address.

mod dial;
mod duplex;
mod net;
mod secret;
mod serve;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::{io, net::SocketAddr, time::Duration};

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use dial::WebSocketLink;
pub use secret::ClusterSecret;
pub use serve::{ServerSettings, WorkerServer};

/// What both sides speak. Its number goes up with every change that an older peer would misread.
const PROTOCOL: &str = "dalston-link-3";
const REQUEST_ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";

/// Per socket each way. A frame of 20 ms at 48 kHz fits four times.
const BUFFER: usize = 8 * 1024;
/// What the kernel keeps each way, which Linux doubles: a second or two of usual audio.
const KERNEL_BUFFER: u32 = 32 * 1024;
/// Audio of one frame; more goes in several.
const MAX_AUDIO: usize = 256 * 1024;
/// The largest message that a gateway sends: an offer with what was said in the session so far.
const MAX_TO_WORKER: usize = 16 * 1024 * 1024;
/// The largest that a worker sends: a session's whole transcript, twice (in one piece and in segments), in JSON.
const MAX_FROM_WORKER: usize = 16 * 1024 * 1024;
/// Time for the closing handshake, of which nothing depends but the kernel's tidiness.
const PARTING: Duration = Duration::from_secs(1);

/// When the other side counts as alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// How often one's own life is told.
    pub beat: Duration,
    /// Silence after which the other is given up. Three beats or more.
    pub dead_after: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { beat: Duration::from_secs(2), dead_after: Duration::from_secs(7) }
    }
}

/// Why a worker cannot be reached, or cannot be a server.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The secret guards audio and slots.
    #[error("the cluster's secret must be 16 to 256 printable ASCII characters without spaces")]
    BadSecret,
    /// Sessions travel unencrypted.
    #[error("{0} is a public address; workers listen in a private network")]
    PublicAddress(SocketAddr),
    /// No gateway can reach `0.0.0.0`.
    #[error("listening on {0}, a worker must be told at which `ws://host:port` gateways reach it")]
    NoAddress(SocketAddr),
    /// The address to be reached at is none.
    #[error("`{0}` is not a worker's address, which is `ws://host:port`")]
    BadUrl(String),
    /// The operating system refuses.
    #[error("cannot listen for gateways at {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

fn websocket(max_message: usize) -> WebSocketConfig {
    // The write buffer's maximum is left open: a frame is handed over only when the last ones are out, or fit.
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}
