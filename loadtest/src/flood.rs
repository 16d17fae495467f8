//! Frames as fast as a server takes them, whatever server it is.
//!
//! It speaks WebSocket through tungstenite itself rather than through the client crate, which flushes each frame, as live
//! audio wants it: here many frames share a system call, so that the server is the bottleneck and not this program.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    select,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

/// What is thrown at whom.
#[derive(Debug, Clone)]
pub struct Flood {
    /// Host and port.
    pub authority: String,
    /// The upgrade request.
    pub request: Request<()>,
    /// The frame that is sent over and over.
    pub frame: Bytes,
    /// Sessions at once.
    pub sessions: usize,
    /// How long.
    pub lasting: Duration,
    /// How long the server may take to answer what it has taken.
    pub patience: Duration,
}

/// What a server took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Frames that it said it had, in all sessions.
    pub frames: u64,
    /// From the first frame to its last answer.
    pub took: Duration,
}

/// Frames between two flushes, and bytes that are gathered in between.
const BATCH: usize = 16;
const GATHERED: usize = 64 * 1024;

impl Flood {
    /// Floods it, ends every session and waits until it has answered all: what only fills buffers does not count.
    ///
    /// # Errors
    /// When a session cannot be opened, breaks, or loses a frame.
    pub async fn run(&self) -> anyhow::Result<Taken> {
        let began = Instant::now();
        let this = Arc::new(self.clone());
        let mut sessions = JoinSet::new();
        for _ in 0..self.sessions {
            let this = Arc::clone(&this);
            sessions.spawn(async move { this.session(began + this.lasting).await });
        }
        let mut frames = 0;
        while let Some(taken) = sessions.join_next().await {
            frames += taken??;
        }
        Ok(Taken { frames, took: began.elapsed() })
    }

    /// Frames that one session sent and the server says it had.
    async fn session(&self, until: Instant) -> anyhow::Result<u64> {
        let tcp = TcpStream::connect(&self.authority).await.with_context(|| format!("{} is gone", self.authority))?;
        tcp.set_nodelay(true)?;
        // Twice what is gathered: a frame that does not fit any more must not be an error.
        let settings = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(GATHERED)
            .max_write_buffer_size(2 * GATHERED + self.frame.len());
        let (socket, _) = client_async_with_config(self.request.clone(), tcp, Some(settings)).await?;
        let (mut sink, mut events) = socket.split();
        let mut sent = 0u64;
        let sending = async {
            while Instant::now() < until {
                for _ in 0..BATCH {
                    sink.feed(Message::Binary(self.frame.clone())).await?;
                }
                sink.flush().await?;
                sent += BATCH as u64;
            }
            sink.send(Message::text(r#"{"type":"end"}"#)).await
        };
        let listening = async {
            let mut heard = None;
            while let Some(message) = events.next().await {
                match message? {
                    Message::Text(text) => heard = bytes_of(&text)?.or(heard),
                    Message::Close(_) => break,
                    _ => {}
                }
            }
            anyhow::Ok(heard)
        };
        let heard = {
            tokio::pin!(listening);
            select! {
                sent = sending => sent.context("the server stopped taking frames")?,
                heard = &mut listening => bail!("the server ended the session early: {:?}", heard?),
            }
            timeout(self.patience, listening).await.context("the server does not end the session")??
        };
        let expected = sent * self.frame.len() as u64;
        match heard {
            Some(bytes) if bytes == expected => Ok(sent),
            other => bail!("{expected} bytes were sent, and the server says it had {other:?}"),
        }
    }
}

/// Bytes of audio that a server says it had: `{"bytes":…}` of a baseline, or `session.end` of 16-bit mono 16 kHz audio.
///
/// # Errors
/// An error or a warning, since either means that the session did not go as it should.
fn bytes_of(text: &str) -> anyhow::Result<Option<u64>> {
    let message: Value = serde_json::from_str(text).context("an event is not JSON")?;
    match message["type"].as_str() {
        Some("error" | "warning") => bail!("the server says {text}"),
        Some("session.end") => {
            let seconds = message["total_audio_seconds"].as_f64().context("session.end has no total_audio_seconds")?;
            Ok(Some((seconds * 16_000.0).round() as u64 * 2))
        }
        _ => Ok(message["bytes"].as_u64()),
    }
}
