//! Opening a session.

use std::{fmt, io, time::Duration};

use dalston_protocol::{
    ErrorBody, RequestId,
    realtime::{STREAM_PATH, SessionConfig},
};
use futures_util::StreamExt;
use http::{HeaderValue, Request, header};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};

use crate::{ConnectError, Endpoint, Events, Sink, query::query};

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// What a session is to be. One value opens any number of sessions.
#[derive(Debug, Clone)]
pub struct StreamClient {
    endpoint: Endpoint,
    config: SessionConfig,
    api_key: Option<ApiKey>,
    traceparent: Option<String>,
    request_id: Option<RequestId>,
    buffers: Buffers,
    patience: Duration,
}

/// A key of the server's API. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// Bytes of memory that one session takes for its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffers {
    /// Allocated at once, for what is received.
    pub read: usize,
    /// Gathered before it is sent; each send flushes, so this is no delay.
    pub write: usize,
}

impl Buffers {
    /// Enough for audio and events of one session; thousands of them fit a load generator.
    pub const SMALL: Self = Self { read: 4 * 1024, write: 4 * 1024 };
}

impl Default for Buffers {
    fn default() -> Self {
        Self { read: 16 * 1024, write: 16 * 1024 }
    }
}

impl ApiKey {
    /// A key as the user was given it.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The value of an `Authorization` header, marked as sensitive.
    ///
    /// # Errors
    /// [`ConnectError::BadHeader`] when the key has a character that no header can carry.
    pub fn bearer(&self) -> Result<HeaderValue, ConnectError> {
        let mut value = header_value("API key", &format!("Bearer {}", self.0))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

impl StreamClient {
    /// Longest message that a server may send: a `session.end` with a long transcript.
    const MAX_MESSAGE: usize = 16 << 20;

    /// Sessions with the API's defaults at `endpoint`.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            config: SessionConfig::default(),
            api_key: None,
            traceparent: None,
            request_id: None,
            buffers: Buffers::default(),
            patience: Duration::from_secs(10),
        }
    }

    /// What the session is asked to be. The server checks it and answers with an error event and a close code.
    #[must_use]
    pub fn config(self, config: SessionConfig) -> Self {
        Self { config, ..self }
    }

    /// The key to authenticate with.
    #[must_use]
    pub fn api_key(self, api_key: Option<ApiKey>) -> Self {
        Self { api_key, ..self }
    }

    /// The caller's span, of which the session becomes a child.
    #[must_use]
    pub fn traceparent(self, traceparent: Option<String>) -> Self {
        Self { traceparent, ..self }
    }

    /// An id of the caller's own, to find the session by.
    #[must_use]
    pub fn request_id(self, request_id: Option<RequestId>) -> Self {
        Self { request_id, ..self }
    }

    /// Memory for the socket.
    #[must_use]
    pub fn buffers(self, buffers: Buffers) -> Self {
        Self { buffers, ..self }
    }

    /// How long [`connect`](Self::connect) waits in all; 10 s unless set.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Opens a session. The first event says what it settled on, or why it was refused.
    ///
    /// # Errors
    /// [`ConnectError`], each with what the user can do.
    pub async fn connect(&self) -> Result<(Sink, Events), ConnectError> {
        let request = self.request()?;
        let socket = timeout(self.patience, self.open(request))
            .await
            .map_err(|_| ConnectError::Timeout { authority: self.endpoint.authority(), waited: self.patience })??;
        let (sink, events) = socket.split();
        Ok((Sink::new(sink), Events::new(events)))
    }

    async fn open(&self, request: Request<()>) -> Result<Socket, ConnectError> {
        let tcp = TcpStream::connect(self.endpoint.socket()).await.map_err(|error| self.unreachable(error))?;
        // Audio frames are small and each is wanted now.
        tcp.set_nodelay(true).map_err(|error| self.unreachable(error))?;
        let settings = WebSocketConfig::default()
            .read_buffer_size(self.buffers.read)
            .write_buffer_size(self.buffers.write)
            .max_message_size(Some(Self::MAX_MESSAGE))
            .max_frame_size(Some(Self::MAX_MESSAGE));
        match client_async_with_config(request, tcp, Some(settings)).await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(self.refused(error)),
        }
    }

    fn request(&self) -> Result<Request<()>, ConnectError> {
        let query = query(&self.config, self.endpoint.query());
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("ws://{}{}{separator}{query}", self.endpoint.authority(), self.endpoint.path(STREAM_PATH));
        let mut request = url.into_client_request().map_err(|error| self.refused(error))?;
        let headers = request.headers_mut();
        if let Some(key) = &self.api_key {
            headers.insert(header::AUTHORIZATION, key.bearer()?);
        }
        if let Some(traceparent) = &self.traceparent {
            headers.insert("traceparent", header_value("traceparent", traceparent)?);
        }
        if let Some(id) = &self.request_id {
            headers.insert("x-request-id", header_value("request id", id.as_str())?);
        }
        Ok(request)
    }

    fn unreachable(&self, source: io::Error) -> ConnectError {
        let authority = self.endpoint.authority();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::NobodyThere { authority },
            _ => ConnectError::Unreachable { authority, source },
        }
    }

    fn refused(&self, error: tungstenite::Error) -> ConnectError {
        let authority = self.endpoint.authority();
        match error {
            tungstenite::Error::Http(response) => {
                let status = response.status();
                let told = response.body().as_deref().and_then(|body| serde_json::from_slice::<ErrorBody>(body).ok());
                let known = || status.canonical_reason().unwrap_or("no reason given").to_owned();
                let message = told.map_or_else(known, |body| body.error.message);
                ConnectError::Refused { authority, status: status.as_u16(), message }
            }
            tungstenite::Error::Io(source) => ConnectError::Unreachable { authority, source },
            other => ConnectError::NotWebSocket { authority, why: other.to_string() },
        }
    }
}

fn header_value(name: &'static str, value: &str) -> Result<HeaderValue, ConnectError> {
    HeaderValue::from_str(value).map_err(|_| ConnectError::BadHeader { name })
}
