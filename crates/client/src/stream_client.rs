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

use crate::{
    ConnectError, Endpoint, Events, Sink,
    query::{query, resuming as resuming_query},
    resuming,
};

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
    is_resumable: bool,
    others: Vec<Endpoint>,
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
            is_resumable: false,
            others: Vec::new(),
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

    /// Whether a session that loses its connection goes on on another one, by itself. It keeps its audio until the
    /// server has acknowledged it: up to the longest utterance and thirty seconds, 2 MB with the API's defaults;
    /// usually a few seconds. When that is full, sends wait; if nothing is acknowledged for five seconds, the oldest
    /// is given up.
    ///
    /// Each time the session goes on, `session.begin` is heard anew, with `resumed` set. No final is heard twice. A
    /// session that is not found again in the time that the server keeps it ends with what its connection ended with.
    #[must_use]
    pub fn resumable(self, is_resumable: bool) -> Self {
        Self { is_resumable, ..self }
    }

    /// Another server of the same installation, at which a session may be resumed too. They are tried in turn.
    #[must_use]
    pub fn or_at(mut self, endpoint: Endpoint) -> Self {
        self.others.push(endpoint);
        self
    }

    /// Opens a session. The first event says what it settled on, or why it was refused.
    ///
    /// # Errors
    /// [`ConnectError`], each with what the user can do.
    pub async fn connect(&self) -> Result<(Sink, Events), ConnectError> {
        let mut query = query(&self.config, self.endpoint.query());
        if self.is_resumable {
            query = resuming_query(&[("resumable", "true".into())], Some(&query));
        }
        let socket = self.open(&self.endpoint, &query).await?;
        if self.is_resumable {
            let (commands, events) = resuming::start(self.clone(), socket);
            return Ok((Sink::carried(commands), Events::carried(events)));
        }
        let (sink, events) = socket.split();
        Ok((Sink::new(sink), Events::new(events)))
    }

    /// Connects to go on with a session, at each server in turn.
    pub(crate) async fn resume(&self, attempt: usize, pairs: &[(&str, String)]) -> Result<Socket, ConnectError> {
        let all = 1 + self.others.len();
        let endpoint = self.others.get((attempt % all).wrapping_sub(1)).unwrap_or(&self.endpoint);
        self.open(endpoint, &resuming_query(pairs, endpoint.query())).await
    }

    /// What the session is to be.
    pub(crate) fn wanted(&self) -> &SessionConfig {
        &self.config
    }

    pub(crate) fn patience_of(&self) -> Duration {
        self.patience
    }

    async fn open(&self, endpoint: &Endpoint, query: &str) -> Result<Socket, ConnectError> {
        let request = self.request(endpoint, query)?;
        timeout(self.patience, self.open_with(endpoint, request))
            .await
            .map_err(|_| ConnectError::Timeout { authority: endpoint.authority(), waited: self.patience })?
    }

    async fn open_with(&self, endpoint: &Endpoint, request: Request<()>) -> Result<Socket, ConnectError> {
        let tcp = TcpStream::connect(endpoint.socket()).await.map_err(|error| unreachable(endpoint, error))?;
        // Audio frames are small and each is wanted now.
        tcp.set_nodelay(true).map_err(|error| unreachable(endpoint, error))?;
        let settings = WebSocketConfig::default()
            .read_buffer_size(self.buffers.read)
            .write_buffer_size(self.buffers.write)
            .max_message_size(Some(Self::MAX_MESSAGE))
            .max_frame_size(Some(Self::MAX_MESSAGE));
        match client_async_with_config(request, tcp, Some(settings)).await {
            Ok((socket, _)) => Ok(socket),
            Err(error) => Err(refused(endpoint, error)),
        }
    }

    fn request(&self, endpoint: &Endpoint, query: &str) -> Result<Request<()>, ConnectError> {
        let separator = if query.is_empty() { "" } else { "?" };
        let url = format!("ws://{}{}{separator}{query}", endpoint.authority(), endpoint.path(STREAM_PATH));
        let mut request = url.into_client_request().map_err(|error| refused(endpoint, error))?;
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
}

fn unreachable(endpoint: &Endpoint, source: io::Error) -> ConnectError {
    let authority = endpoint.authority();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::NobodyThere { authority },
        _ => ConnectError::Unreachable { authority, source },
    }
}

fn refused(endpoint: &Endpoint, error: tungstenite::Error) -> ConnectError {
    let authority = endpoint.authority();
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

fn header_value(name: &'static str, value: &str) -> Result<HeaderValue, ConnectError> {
    HeaderValue::from_str(value).map_err(|_| ConnectError::BadHeader { name })
}
