//! The end of the process: nothing new, everything open gets a proper end (OP1).

mod support;

use std::time::Duration;

use dalston_protocol::{CloseCode, realtime::ServerMessage};
use dalston_session_router::link::ToWorker;
use dalston_telemetry::SessionOutcome;
use support::{LONG, Server, transcript};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn without_sessions_it_ends_at_once() {
    let server = Server::start("").await;
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn while_draining_nothing_new_begins_and_what_is_open_is_answered() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.audio([1; 100]).await;
    server.begin_drain();

    // The worker gets what was received, then the word to end.
    let (audio, then) = session.audio().await;
    assert_eq!(audio.len(), 100);
    let Some(ToWorker::Close(close)) = then else { panic!("{then:?}") };
    assert_eq!(close.code, CloseCode::Restart);

    let ready = server.http("GET /readyz").await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "draining"));
    assert_eq!(ready.header("connection"), Some("close"));
    assert_eq!(server.http("GET /healthz").await.status, 200);
    let (error, code) = server.connect("").await.refusal().await;
    assert_eq!((error.as_str(), code), ("draining", 1012));

    session.send(transcript(1, "the last words")).await;
    session.close(*close).await;
    let (events, code, reason) = client.rest().await;
    assert_eq!(events.last(), Some(&transcript(1, "the last words")));
    assert_eq!(code, 1012);
    assert!(reason.contains("connect again"), "{reason}");
    let metrics = server.metrics.clone();
    server.drained().await;
    assert_eq!(metrics.sessions_ended(SessionOutcome::Drained), 2);
    assert_eq!(metrics.sessions_open.get(), 0);
    assert_eq!(metrics.connections_open.get(), 0);
}

#[tokio::test]
async fn a_worker_that_does_not_end_is_not_awaited_beyond_the_deadline() {
    let mut server = Server::start("[http]\ndrain_timeout = 0.3").await;
    let mut client = server.connect("").await;
    let _session = server.session().await;
    let began = Instant::now();
    server.begin_drain();
    let (events, code, _) = client.rest().await;
    assert!(matches!(&events[..], [ServerMessage::SessionBegin { .. }]), "{events:?}");
    assert_eq!(code, 1012);
    server.drained().await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_that_looks_for_a_worker_is_told_to_come_back() {
    let server = Server::start("").await;
    let mut client = server.connect("").await;
    // Nobody answers the offer.
    tokio::task::yield_now().await;
    server.begin_drain();
    assert_eq!(client.refusal().await, ("draining".into(), 1012));
    server.drained().await;
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let server = Server::start("").await;
    let mut idle = tokio::net::TcpStream::connect(server.address).await.unwrap();
    server.http("GET /healthz").await;
    server.stop().await;
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut idle, &mut rest);
    timeout(LONG, read).await.expect("the connection stays open").unwrap();
}
