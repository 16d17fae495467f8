//! From an HTTP request to a WebSocket (RFC 6455 §4.2).
//!
//! Done here and not by axum's extractor, because a proper end needs the connection itself: to read what comes behind a
//! frame that was refused, and to tell a slow reader from one that does not read.

use std::time::Duration;

use axum::{body::Body, response::Response};
use dalston_protocol::{ApiError, ErrorCode};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use hyper::upgrade::{OnUpgrade, Parts as Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{StreamLimits, server::Connection};

/// A client's end of a session.
pub(super) type Socket = WebSocketStream<Connection>;

/// Per socket, so the largest part of what an idle session costs. A frame of 20 ms at 48 kHz fits four times.
const READ_BUFFER: usize = 8 * 1024;
/// Events gathered before they are written. Its maximum is left open: the pump hands over the next events only when the
/// last ones are out, so there is never more in it than this and one event.
const WRITE_BUFFER: usize = 4 * 1024;
/// From our 101 to the socket: hyper only has to write it out.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A valid wish to become a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
}

impl Upgrade {
    /// # Errors
    /// [`ErrorCode::InvalidMessage`], naming the header that is missing or wrong.
    pub(super) fn from_request(parts: &mut Parts) -> Result<Self, ApiError> {
        let headers = &parts.headers;
        require(headers, &header::UPGRADE, "websocket")?;
        require(headers, &header::CONNECTION, "upgrade")?;
        require(headers, &header::SEC_WEBSOCKET_VERSION, "13")?;
        let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| wrong("Sec-WebSocket-Key", "a random value"))?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).expect("base64 is a header value");
        let on_upgrade = parts.extensions.remove().ok_or_else(|| wrong("the connection", "HTTP/1.1"))?;
        Ok(Self { on_upgrade, accept })
    }

    /// The 101, and what becomes the socket once it is written.
    pub(super) fn accept(self) -> (Response, Upgrading) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        (response, Upgrading(self.on_upgrade))
    }
}

/// A socket to be.
#[derive(Debug)]
pub(super) struct Upgrading(OnUpgrade);

impl Upgrading {
    /// `None` when the client left before it read the 101.
    pub(super) async fn socket(self, limits: &StreamLimits) -> Option<Socket> {
        let upgraded = timeout(HANDSHAKE, self.0).await.ok()?.ok()?;
        let Upgraded { io, read_buf, .. } =
            upgraded.downcast::<TokioIo<Connection>>().expect("the accept loop serves nothing but Connections");
        let connection = io.into_inner();
        connection.becomes_session();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limits.max_message))
            .max_frame_size(Some(limits.max_message));
        // What the client sent right behind its request is already read.
        Some(WebSocketStream::from_partially_read(connection, read_buf.into(), Role::Server, Some(config)).await)
    }
}

fn require(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> Result<(), ApiError> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    if values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    Err(wrong(name.as_str(), wanted))
}

fn wrong(what: &str, wanted: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidMessage, format!("this is a WebSocket route: {what} must be {wanted}"))
}
