//! What comes from those who do not speak as they should.

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{super::PROTOCOL, *};
use crate::link::Refusal;

type Raw = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection whose owner knows the secret and speaks `protocol`.
async fn raw(server: &WorkerServer, protocol: &'static str) -> Result<Raw, Error> {
    let mut request = url(server).into_client_request()?;
    request.headers_mut().insert("authorization", secret().header());
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
    connect_async(request).await.map(|(socket, _)| socket)
}

/// A gateway that has opened a session by hand.
async fn raw_session(server: &WorkerServer, port: &mut WorkerPort) -> (Raw, WorkerChannel) {
    let mut socket = raw(server, PROTOCOL).await.expect("it speaks well");
    let made = super::super::wire::text(&super::super::wire::Offer::from(&offer()));
    socket.send(made).await.expect("the worker listens");
    let incoming = soon("an offer", port.next()).await.expect("a gateway is left");
    let (_, worker) = incoming.accept().expect("the opener waits");
    assert_eq!(soon("an answer", socket.next()).await.unwrap().unwrap(), Message::text("\"accepted\""));
    (socket, worker)
}

#[tokio::test]
async fn without_the_secret_there_is_no_session_and_the_other_worker_is_tried() {
    let (server, _port) = listen(settings());
    let other = ClusterSecret::new("another-secret-as-long").unwrap();
    let stranger = WebSocketLink::new(&url(&server), other, LIVENESS).unwrap();
    let refusal = soon("an answer", stranger.open(offer())).await.expect_err("it is a stranger");
    assert_eq!(refusal, Refusal::Unreachable("it has another cluster secret".into()));
    let nothing = connect_async(url(&server)).await;
    assert!(matches!(nothing, Err(Error::Http(answer)) if answer.status() == 401));
}

#[tokio::test]
async fn another_release_is_told_so() {
    let (server, _port) = listen(settings());
    let answer = raw(&server, "dalston-link-0").await;
    assert!(matches!(answer, Err(Error::Http(answer)) if answer.status() == 426));
}

#[tokio::test]
async fn garbage_ends_its_own_session_and_no_other() {
    let (server, mut port) = listen(settings());
    let (mut good, mut good_worker) = session(&link(&url(&server)), &mut port).await;
    let garbage = [
        Message::text("hello"),
        Message::text("{}"),
        Message::text(r#"{"gone":{"outcome":"no such word","close_code":1}}"#),
        Message::text(format!(r#"{{"message":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000))),
        Message::binary(vec![0; super::super::MAX_TO_WORKER + 1]),
    ];
    for frame in garbage {
        let (mut socket, mut worker) = raw_session(&server, &mut port).await;
        // It may be cut off before it has said all of it.
        let _ = socket.send(frame).await;
        assert!(is_left(&mut worker).await);
    }
    good.to_worker.send(audio(1)).await.expect("it lives on");
    assert_eq!(soon("audio", good_worker.from_client.recv()).await, Some(audio(1)));
    drop(good_worker);
    assert!(is_lost(&mut good).await);
}

#[tokio::test]
async fn an_offer_that_is_none_reaches_no_worker() {
    let (server, mut port) = listen(settings());
    for frame in [Message::text("{}"), Message::binary(vec![1, 2, 3])] {
        let mut socket = raw(&server, PROTOCOL).await.expect("it speaks well");
        socket.send(frame).await.expect("the worker listens");
        let end = soon("the end", async { while let Some(Ok(_)) = socket.next().await {} }).await;
        assert_eq!(end, ());
    }
    let (_channel, _worker) = session(&link(&url(&server)), &mut port).await;
}

#[tokio::test]
async fn who_says_nothing_is_shown_the_door() {
    let handshake = std::time::Duration::from_millis(300);
    let (server, mut port) = listen(ServerSettings { handshake, ..settings() });
    let place = url(&server).trim_start_matches("ws://").to_owned();
    let mut silent = TcpStream::connect(&place).await.unwrap();
    let mut halting = TcpStream::connect(&place).await.unwrap();
    halting.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut waiting = raw(&server, PROTOCOL).await.expect("it speaks well");
    soon("the end", async {
        // Reset or closed is one.
        let _ = silent.read_to_end(&mut Vec::new()).await;
        let _ = halting.read_to_end(&mut Vec::new()).await;
        while let Some(Ok(_)) = waiting.next().await {}
    })
    .await;
    let (_channel, _worker) = session(&link(&url(&server)), &mut port).await;
}

#[tokio::test]
async fn a_worker_that_is_no_worker_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = link(&format!("ws://{}", listener.local_addr().unwrap()));
    let answering = tokio::spawn(async move {
        for answer in ["HTTP/1.1 200 OK\r\n\r\n", "\x00\x01\x02 what?\r\n\r\n", ""] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    for _ in 0..3 {
        let answer = soon("an answer", link.open(offer())).await;
        assert!(matches!(answer, Err(Refusal::Unreachable(_))), "{answer:?}");
    }
    answering.await.unwrap();
}
