//! The half of a session that hears.

use dalston_protocol::realtime::ServerMessage;
use futures_util::{StreamExt, stream::SplitStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{StreamError, resuming::Heard, stream_client::Socket};

/// What a session hears from its server.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An event of the session.
    Message(Box<ServerMessage>),
    /// The session is over. Nothing follows.
    Closed {
        /// One of [`dalston_protocol::CloseCode`], or 1005 when the server gave none.
        code: u16,
        /// The server's words; empty for a normal end.
        reason: String,
    },
}

/// Receives a session's events. Pings are answered while it is being read.
#[derive(Debug)]
pub struct Events {
    from: From,
    is_over: bool,
}

#[derive(Debug)]
enum From {
    Socket(SplitStream<Socket>),
    /// The task that carries a resumable session.
    Carrier(mpsc::Receiver<Heard>),
}

impl Events {
    pub(crate) const fn new(socket: SplitStream<Socket>) -> Self {
        Self { from: From::Socket(socket), is_over: false }
    }

    pub(crate) const fn carried(events: mpsc::Receiver<Heard>) -> Self {
        Self { from: From::Carrier(events), is_over: false }
    }

    /// The next event; `None` after [`Event::Closed`] or a lost connection. Safe to drop and call again.
    ///
    /// # Errors
    /// [`StreamError::UnknownMessage`] leaves the session open; [`StreamError::Lost`] is the last that is heard.
    pub async fn next(&mut self) -> Option<Result<Event, StreamError>> {
        while !self.is_over {
            let socket = match &mut self.from {
                From::Socket(socket) => socket,
                From::Carrier(events) => return events.recv().await,
            };
            let frame = match socket.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return self.lost(error.into()),
                None => return self.lost(StreamError::Lost("it ended without a close frame".into())),
            };
            match frame {
                Message::Text(text) => return Some(read(&text)),
                Message::Close(frame) => {
                    self.is_over = true;
                    return Some(Ok(closed(frame)));
                }
                Message::Binary(bytes) => {
                    let what = format!("a binary frame of {} bytes", bytes.len());
                    return Some(Err(StreamError::UnknownMessage(what)));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        None
    }

    fn lost(&mut self, error: StreamError) -> Option<Result<Event, StreamError>> {
        self.is_over = true;
        Some(Err(error))
    }
}

pub(crate) fn closed(frame: Option<CloseFrame>) -> Event {
    /// RFC 6455 §7.1.5: what stands for a close frame without a code.
    const NO_CODE: u16 = 1005;
    let (code, reason) =
        frame.map_or((NO_CODE, String::new()), |frame| (frame.code.into(), frame.reason.as_str().to_owned()));
    Event::Closed { code, reason }
}

pub(crate) fn read(text: &str) -> Result<Event, StreamError> {
    match serde_json::from_str(text) {
        Ok(message) => Ok(Event::Message(Box::new(message))),
        Err(error) => Err(StreamError::UnknownMessage(error.to_string())),
    }
}
