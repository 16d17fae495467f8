//! The client's side: a WebSocket client, plain HTTP, and bytes.

use std::time::Duration;

use dalston_protocol::realtime::ServerMessage;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig},
};

use super::{LONG, Server};

pub const STREAM: &str = "/v1/audio/transcriptions/stream";

/// A WebSocket client.
pub struct Client(pub WebSocketStream<TcpStream>);

impl Server {
    /// Connects with a query, `?…` or empty.
    pub async fn connect(&self, query: &str) -> Client {
        self.connect_with(query, &[]).await
    }

    pub async fn connect_with(&self, query: &str, headers: &[(&'static str, &str)]) -> Client {
        let url = format!("ws://{}{STREAM}{query}", self.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let (client, _) =
            client_async_with_config(request, stream, Some(config)).await.expect("every socket is accepted");
        Client(client)
    }

    /// A WebSocket of which only the bytes are ours: nothing is read or answered by itself.
    pub async fn connect_raw(&self, query: &str) -> TcpStream {
        self.upgrade_raw(TcpStream::connect(self.address).await.unwrap(), query).await
    }

    /// The same, with a receive buffer of about so many bytes.
    pub async fn connect_raw_with_window(&self, bytes: u32) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        self.upgrade_raw(socket.connect(self.address).await.unwrap(), "").await
    }

    async fn upgrade_raw(&self, mut stream: TcpStream, query: &str) -> TcpStream {
        let head = format!(
            "GET {STREAM}{query} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // RFC 6455 §1.3 gives this answer to this key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        stream
    }

    /// One HTTP/1.1 request on a connection of its own: the status line and headers, and the body as JSON or text.
    pub async fn http(&self, request: &str) -> Answer {
        let (line, headers) = request.split_once("\r\n").unwrap_or((request, ""));
        self.send(line, headers, b"").await
    }

    /// The same, with a body.
    pub async fn send(&self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let separator = if headers.is_empty() || headers.ends_with("\r\n") { "" } else { "\r\n" };
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let text = format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}{separator}\r\n");
        stream.write_all(&[text.as_bytes(), body].concat()).await.unwrap();
        Answer::read(&mut stream).await
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("no end of the answer").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.into() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    /// The error's code, where the body has the documented shape.
    pub fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        assert_eq!(
            error["request_id"].as_str().map(str::to_lowercase).as_deref(),
            self.header("x-request-id"),
            "{json}"
        );
        error["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub async fn audio(&mut self, bytes: impl Into<Vec<u8>>) {
        let frame = Message::Binary(bytes.into().into());
        timeout(LONG, self.0.send(frame)).await.expect("the server reads nothing").unwrap();
    }

    pub async fn text(&mut self, text: &str) {
        timeout(LONG, self.0.send(Message::text(text))).await.expect("the server reads nothing").unwrap();
    }

    /// The next event or close; pings are answered and passed over.
    pub async fn next(&mut self) -> Told {
        self.next_within(LONG).await.expect("the server says nothing")
    }

    pub async fn next_within(&mut self, time: Duration) -> Option<Told> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Told::Event(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => {
                        // Lets the library finish the closing handshake.
                        let _ = self.0.flush().await;
                        let frame = frame.expect("the server's close frame has a code");
                        return Told::Close(frame.code.into(), frame.reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Told::Gone,
                }
            }
        };
        timeout(time, next).await.ok()
    }

    pub async fn event(&mut self) -> ServerMessage {
        match self.next().await {
            Told::Event(event) => event,
            other => panic!("an event was awaited and not {other:?}"),
        }
    }

    /// All events, and the close.
    pub async fn rest(&mut self) -> (Vec<ServerMessage>, u16, String) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Told::Event(event) => events.push(event),
                Told::Close(code, reason) => return (events, code, reason),
                Told::Gone => panic!("no close frame came, after {events:?}"),
            }
        }
    }

    /// The code of the last error event and the code of the close frame behind it.
    pub async fn refusal(&mut self) -> (String, u16) {
        let (events, code, _) = self.rest().await;
        match events.last() {
            Some(ServerMessage::Error { code: error, recoverable: false, .. }) => (error.as_str().to_owned(), code),
            other => panic!("an error was awaited before close {code}, and not {other:?}"),
        }
    }
}

/// What the server says.
#[derive(Debug, PartialEq)]
pub enum Told {
    Event(ServerMessage),
    Close(u16, String),
    Gone,
}

pub async fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(timeout(LONG, stream.read_u8()).await.expect("no more comes").expect("the server closed"));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client's frame (RFC 6455 §5.2), masked with zeros. `first` is the byte of FIN and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        medium @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Frames of a server that wait unread, up to its close frame: the texts and the close code.
pub async fn read_frames(stream: &mut TcpStream) -> (Vec<String>, Option<u16>) {
    let mut texts = Vec::new();
    loop {
        let Ok(Ok(first)) = timeout(LONG, stream.read_u8()).await else { return (texts, None) };
        let length = match stream.read_u8().await.unwrap() {
            126 => stream.read_u16().await.unwrap().into(),
            127 => stream.read_u64().await.unwrap(),
            short => short.into(),
        };
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        match first & 0x0F {
            1 => texts.push(String::from_utf8(payload).unwrap()),
            8 => return (texts, payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            _ => {}
        }
    }
}
