//! The half of a session that sends.

use bytes::Bytes;
use dalston_protocol::realtime::ClientMessage;
use futures_util::{SinkExt, stream::SplitSink};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{StreamError, stream_client::Socket};

/// Sends audio and messages. Each send waits until the socket has taken it.
#[derive(Debug)]
pub struct Sink {
    socket: SplitSink<Socket, Message>,
}

impl Sink {
    pub(crate) const fn new(socket: SplitSink<Socket, Message>) -> Self {
        Self { socket }
    }

    /// Sends one frame of audio in the session's encoding. It may hold any number of bytes, also part of a sample.
    ///
    /// # Errors
    /// [`StreamError::Ended`] when the server has closed the session, [`StreamError::Lost`] when the connection broke.
    pub async fn send_audio(&mut self, audio: impl Into<Bytes>) -> Result<(), StreamError> {
        Ok(self.socket.send(Message::Binary(audio.into())).await?)
    }

    /// Sends a control message.
    ///
    /// # Errors
    /// As [`Sink::send_audio`].
    pub async fn send(&mut self, message: &ClientMessage) -> Result<(), StreamError> {
        let text = serde_json::to_string(message).expect("a client message is plain data with string keys");
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Leaves without waiting for what is still unheard. To hear everything, send [`ClientMessage::End`] instead and read
    /// the events to their end.
    ///
    /// # Errors
    /// As [`Sink::send_audio`].
    pub async fn close(&mut self) -> Result<(), StreamError> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        Ok(self.socket.send(Message::Close(Some(frame))).await?)
    }
}
