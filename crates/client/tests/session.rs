//! The client against a WebSocket server of tungstenite's, over a real socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::time::Duration;

use dalston_client::{ApiKey, Buffers, ConnectError, Endpoint, Event, StreamClient, StreamError};
use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig};
use futures_util::{SinkExt, StreamExt};
use http::HeaderMap;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::CloseFrame,
    },
};

type Server = WebSocketStream<TcpStream>;

async fn listen() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    (listener, endpoint)
}

/// Accepts one session and gives it with the path, query and headers it came with.
#[expect(clippy::result_large_err, reason = "tungstenite's callback decides the type")]
async fn accept(listener: TcpListener) -> (Server, String, HeaderMap) {
    let (tcp, _) = listener.accept().await.unwrap();
    let (tell, told) = oneshot::channel();
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        tell.send((request.uri().to_string(), request.headers().clone())).unwrap();
        Ok(response)
    };
    let socket = accept_hdr_async(tcp, callback).await.unwrap();
    let (uri, headers) = told.await.unwrap();
    (socket, uri, headers)
}

/// Both ends of a session with the API's defaults.
async fn session() -> (dalston_client::Sink, dalston_client::Events, Server) {
    let (listener, endpoint) = listen().await;
    let client = StreamClient::new(endpoint);
    let (client, (server, ..)) = tokio::join!(client.connect(), accept(listener));
    let (sink, events) = client.unwrap();
    (sink, events, server)
}

#[tokio::test]
async fn the_handshake_carries_settings_key_and_trace() {
    let (listener, endpoint) = listen().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let client = StreamClient::new(endpoint)
        .config(SessionConfig { sample_rate: 8000, vocabulary: vec!["a b".into()], ..SessionConfig::default() })
        .api_key(Some(ApiKey::new("dk_secret")))
        .traceparent(Some(traceparent.into()))
        .buffers(Buffers::SMALL);
    let (client, (_server, uri, headers)) = tokio::join!(client.connect(), accept(listener));
    client.unwrap();
    assert_eq!(uri, "/v1/audio/transcriptions/stream?sample_rate=8000&vocabulary=%5B%22a+b%22%5D");
    assert_eq!(headers["authorization"], "Bearer dk_secret");
    assert_eq!(headers["traceparent"], traceparent);
}

#[tokio::test]
async fn audio_and_messages_arrive_as_they_were_sent() {
    let (mut sink, _events, mut server) = session().await;
    sink.send_audio(vec![1, 2, 3]).await.unwrap();
    sink.send(&ClientMessage::Flush { id: Some("a".into()) }).await.unwrap();
    assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(vec![1, 2, 3]));
    assert_eq!(server.next().await.unwrap().unwrap(), Message::text(r#"{"type":"flush","id":"a"}"#));
}

#[tokio::test]
async fn events_are_typed_and_end_with_the_close() {
    let (_sink, mut events, mut server) = session().await;
    server.send(Message::text(r#"{"type":"vad.speech_start","timestamp":1.5}"#)).await.unwrap();
    server.send(Message::text(r#"{"type":"something.new"}"#)).await.unwrap();
    server.send(Message::Ping("are you there".into())).await.unwrap();
    server.close(Some(CloseFrame { code: 4010.into(), reason: "too slow".into() })).await.unwrap();

    let heard = events.next().await.unwrap().unwrap();
    assert_eq!(heard, Event::Message(Box::new(ServerMessage::SpeechStart { timestamp: 1.5, channel: None })));
    let unknown = events.next().await.unwrap().unwrap_err();
    assert!(matches!(unknown, StreamError::UnknownMessage(_)), "{unknown}");
    let closed = events.next().await.unwrap().unwrap();
    assert_eq!(closed, Event::Closed { code: 4010, reason: "too slow".into() });
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_server_that_vanishes_is_an_error_and_then_the_end() {
    let (_sink, mut events, server) = session().await;
    drop(server);
    assert!(matches!(events.next().await, Some(Err(StreamError::Lost(_)))));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn sending_after_the_servers_close_says_that_it_ended() {
    let (mut sink, mut events, mut server) = session().await;
    server.close(None).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), Event::Closed { code: 1005, reason: String::new() });
    let error = sink.send_audio(vec![0; 2]).await.unwrap_err();
    assert!(matches!(error, StreamError::Ended), "{error}");
}

#[tokio::test]
async fn a_dead_port_tells_the_user_to_start_a_server() {
    let (listener, endpoint) = listen().await;
    drop(listener);
    let error = StreamClient::new(endpoint).connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::NobodyThere { .. }));
    assert!(error.to_string().contains("`dalston serve`"), "{error}");
}

#[tokio::test]
async fn an_http_refusal_keeps_the_servers_words() {
    let (listener, endpoint) = listen().await;
    let body = r#"{"error":{"code":"draining","message":"going down","request_id":"req_1"}}"#;
    let answer = format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(answer.as_bytes()).await.unwrap();
        tcp
    };
    let client = StreamClient::new(endpoint);
    let (refused, _tcp) = tokio::join!(client.connect(), serve);
    match refused.unwrap_err() {
        ConnectError::Refused { status, message, .. } => assert_eq!((status, &*message), (503, "going down")),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (listener, endpoint) = listen().await;
    let client = StreamClient::new(endpoint).patience(Duration::from_millis(50));
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");
    drop(listener);
}

#[tokio::test]
async fn a_key_never_shows() {
    let client = StreamClient::new("localhost".parse().unwrap()).api_key(Some(ApiKey::new("dk_canary")));
    assert!(!format!("{client:?}").contains("canary"));
    let bad = StreamClient::new("localhost".parse().unwrap()).api_key(Some(ApiKey::new("canary\n")));
    assert!(!bad.connect().await.unwrap_err().to_string().contains("canary"));
}
