//! The half of a session that sends.

use bytes::Bytes;
use dalston_protocol::realtime::ClientMessage;
use futures_util::{SinkExt, stream::SplitSink};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    StreamError,
    replay::Said,
    resuming::{self, Command},
    stream_client::Socket,
};

/// Sends audio and messages. Each send waits until the socket has taken it; that of a resumable session until it has
/// taken the one before.
#[derive(Debug)]
pub struct Sink {
    to: To,
}

#[derive(Debug)]
enum To {
    Socket(SplitSink<Socket, Message>),
    /// The task that carries a resumable session.
    Carrier(mpsc::Sender<Command>),
}

impl Sink {
    pub(crate) const fn new(socket: SplitSink<Socket, Message>) -> Self {
        Self { to: To::Socket(socket) }
    }

    pub(crate) const fn carried(commands: mpsc::Sender<Command>) -> Self {
        Self { to: To::Carrier(commands) }
    }

    /// Sends one frame of audio in the session's encoding. It may hold any number of bytes, also part of a sample.
    ///
    /// # Errors
    /// [`StreamError::Ended`] when the server has closed the session, [`StreamError::Lost`] when the connection broke.
    pub async fn send_audio(&mut self, audio: impl Into<Bytes>) -> Result<(), StreamError> {
        match &mut self.to {
            To::Socket(socket) => Ok(socket.send(Message::Binary(audio.into())).await?),
            To::Carrier(carrier) => resuming::say(carrier, Command::Say(Said::Audio(audio.into()))).await,
        }
    }

    /// Sends a control message.
    ///
    /// # Errors
    /// As [`Sink::send_audio`].
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), StreamError> {
        match &mut self.to {
            To::Socket(socket) => Ok(socket.send(text(message)).await?),
            To::Carrier(carrier) => resuming::say(carrier, resuming::message(message)).await,
        }
    }

    /// Leaves without waiting for what is still unheard. To hear everything, send [`ClientMessage::End`] instead and read
    /// the events to their end.
    ///
    /// # Errors
    /// As [`Sink::send_audio`].
    pub async fn close(&mut self) -> Result<(), StreamError> {
        match &mut self.to {
            To::Socket(socket) => Ok(socket.send(farewell()).await?),
            To::Carrier(carrier) => resuming::say(carrier, Command::Leave).await,
        }
    }
}

fn text(message: &ClientMessage) -> Message {
    Message::text(serde_json::to_string(message).expect("a client message is plain data with string keys"))
}

pub(crate) fn farewell() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

pub(crate) fn frame(said: Said) -> Message {
    match said {
        Said::Audio(audio) => Message::Binary(audio),
        Said::Message(message) => text(&message),
    }
}
