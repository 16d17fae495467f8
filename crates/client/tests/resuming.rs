//! A resumable session against a WebSocket server of tungstenite's that loses it: what the client says, and says again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use dalston_client::{Event, Events, Sink, StreamClient, StreamError};
use dalston_protocol::realtime::{ClientMessage, FinalCause, ServerMessage, TranscriptFinal};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};

const LONG: Duration = Duration::from_secs(20);

struct Server {
    listener: TcpListener,
    token: String,
}

struct Connection(WebSocketStream<TcpStream>);

impl Server {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), token: format!("ses_1.{}", "x".repeat(43)) }
    }

    /// The next connection, and the query it came with.
    #[expect(clippy::result_large_err, reason = "tungstenite's callback decides the type")]
    async fn accept(&self) -> (Connection, String) {
        let (tcp, _) = timeout(LONG, self.listener.accept()).await.expect("nobody comes").unwrap();
        let (tell, told) = oneshot::channel();
        let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            tell.send(request.uri().query().unwrap_or_default().to_owned()).unwrap();
            Ok(response)
        };
        let socket = accept_hdr_async(tcp, callback).await.unwrap();
        (Connection(socket), told.await.unwrap())
    }

    fn begin(&self, resumed: Option<u64>) -> Value {
        let config =
            json!({ "sample_rate": 16000, "encoding": "pcm_s16le", "channels": 1, "language": "en", "model": "m" });
        let mut begin = json!({ "type": "session.begin", "session_id": "ses_1", "request_id": "req_1", "config": config,
            "resume": { "token": self.token, "window_seconds": 5.0 } });
        if let Some(bytes) = resumed {
            begin["resumed"] = json!({ "bytes": bytes, "finals": 0 });
        }
        begin
    }

    /// A session that has begun.
    async fn session(&self) -> (Sink, Events, Connection) {
        let endpoint = self.listener.local_addr().unwrap().to_string().parse().unwrap();
        let client = StreamClient::new(endpoint).resumable(true);
        let (client, (mut server, query)) = tokio::join!(client.connect(), self.accept());
        assert_eq!(query, "resumable=true");
        server.say(self.begin(None)).await;
        let (sink, mut events) = client.unwrap();
        assert!(matches!(next(&mut events).await, Event::Message(begin) if is_begin(&begin, None)));
        (sink, events, server)
    }
}

impl Connection {
    async fn say(&mut self, event: impl serde::Serialize) {
        self.0.send(Message::text(serde_json::to_string(&event).unwrap())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        timeout(LONG, self.0.next()).await.expect("nothing comes").unwrap().unwrap()
    }

    /// So many bytes of audio.
    async fn audio(&mut self, bytes: usize) -> Vec<u8> {
        let mut heard = Vec::new();
        while heard.len() < bytes {
            heard.extend_from_slice(&self.next().await.into_data());
        }
        heard
    }
}

fn is_begin(message: &ServerMessage, bytes: Option<u64>) -> bool {
    matches!(message, ServerMessage::SessionBegin { resume: None, resumed, .. } if resumed.map(|at| at.bytes) == bytes)
}

async fn next(events: &mut Events) -> Event {
    timeout(LONG, events.next()).await.expect("nothing is told").unwrap().unwrap()
}

fn said(number: u64) -> ServerMessage {
    ServerMessage::Final(TranscriptFinal {
        utterance_id: format!("utt_{number}"),
        text: "go".into(),
        start: 0.0,
        end: 1.0,
        confidence: None,
        language: "en".into(),
        words: Vec::new(),
        channel: None,
        cause: FinalCause::Endpoint,
        id: None,
    })
}

fn piece(n: u8) -> Vec<u8> {
    vec![n; 100]
}

#[tokio::test]
async fn it_comes_back_with_what_it_got_and_says_what_is_missing() {
    let server = Server::start().await;
    let (mut sink, mut events, mut connection) = server.session().await;
    for n in 0..5 {
        sink.send_audio(piece(n)).await.unwrap();
    }
    sink.send(&ClientMessage::Clear).await.unwrap();
    sink.send_audio(piece(5)).await.unwrap();
    connection.audio(500).await;
    connection.next().await;
    connection.say(said(7)).await;
    connection.say(ServerMessage::AudioAck { bytes: 200 }).await;
    assert_eq!(next(&mut events).await, Event::Message(Box::new(said(7))), "acknowledgements are not told");
    drop(connection);

    let (mut connection, query) = server.accept().await;
    assert_eq!(query, format!("resume={}&received=200&last_final=utt_7", server.token));
    // Said while the connection was away, and carried in its turn.
    sink.send_audio(piece(6)).await.unwrap();
    connection.say(server.begin(Some(300))).await;
    connection.say(said(7)).await;
    connection.say(said(8)).await;
    assert!(matches!(next(&mut events).await, Event::Message(begin) if is_begin(&begin, Some(300))));
    assert_eq!(next(&mut events).await, Event::Message(Box::new(said(8))), "none twice, whatever the server says");
    assert_eq!(connection.audio(200).await, [piece(3), piece(4)].concat());
    assert_eq!(connection.next().await, Message::text(r#"{"type":"clear"}"#), "where it stood");
    assert_eq!(connection.audio(200).await, [piece(5), piece(6)].concat());
}

#[tokio::test]
async fn a_server_that_goes_down_is_come_back_to_and_one_that_has_said_all_is_not() {
    let server = Server::start().await;
    let (_sink, mut events, mut connection) = server.session().await;
    connection.0.close(Some(CloseFrame { code: 1012.into(), reason: "going down".into() })).await.unwrap();
    // The first one that answers has no room for it yet.
    let (mut full, _) = server.accept().await;
    full.0.close(Some(CloseFrame { code: 4503.into(), reason: "full".into() })).await.unwrap();
    let (mut connection, _) = server.accept().await;
    connection.say(server.begin(Some(0))).await;
    assert!(matches!(next(&mut events).await, Event::Message(begin) if is_begin(&begin, Some(0))));
    let end = json!({ "type": "session.end", "session_id": "ses_1", "total_audio_seconds": 0.0,
        "total_speech_duration": 0.0, "transcript": "", "segments": [] });
    connection.say(end).await;
    drop(connection);
    assert!(matches!(next(&mut events).await, Event::Message(end) if matches!(*end, ServerMessage::SessionEnd(_))));
    assert!(matches!(next(&mut events).await, Event::Closed { code: 1006, .. }));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_session_that_the_server_has_no_more_ends_with_the_servers_words() {
    let server = Server::start().await;
    let (_sink, mut events, connection) = server.session().await;
    drop(connection);
    let (mut refusing, _) = server.accept().await;
    let error = json!({ "type": "error", "code": "session_gone", "message": "too late", "recoverable": false });
    refusing.say(error).await;
    refusing.0.close(Some(CloseFrame { code: 4404.into(), reason: "too late".into() })).await.unwrap();
    assert!(matches!(next(&mut events).await, Event::Message(error) if matches!(*error, ServerMessage::Error { .. })));
    assert_eq!(next(&mut events).await, Event::Closed { code: 4404, reason: "too late".into() });
}

#[tokio::test]
async fn a_server_that_does_not_offer_it_is_not_come_back_to() {
    let server = Server::start().await;
    let endpoint = server.listener.local_addr().unwrap().to_string().parse().unwrap();
    let client = StreamClient::new(endpoint).resumable(true);
    let (client, (connection, _)) = tokio::join!(client.connect(), server.accept());
    let (_sink, mut events) = client.unwrap();
    drop(connection);
    let lost = timeout(LONG, events.next()).await.expect("nothing is told").unwrap();
    assert!(matches!(lost, Err(StreamError::Lost(_))), "{lost:?}");
    assert!(events.next().await.is_none());
}
