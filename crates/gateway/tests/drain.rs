//! The end of the process: nothing new, everything open gets a proper end (OP1).

mod support;

use std::time::Duration;

use dalston_gateway::JobSettings;
use dalston_protocol::{
    Close, CloseCode,
    realtime::{ClientMessage, ServerMessage},
};
use dalston_session_router::link::ToWorker;
use dalston_telemetry::{SessionOutcome, Tracers};
use futures_util::SinkExt;
use support::{
    LONG, Server, config,
    jobs::{BatchServer, Form, JOBS},
    transcript,
    wire::{Answer, read_frames},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

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
async fn while_the_rest_of_the_process_ends_it_is_alive_not_ready_and_tells_of_jobs() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let jobs_work = server.server.others.token();
    server.server.begin_drain();
    let unready = async { while server.http("GET /readyz").await.status != 503 {} };
    timeout(LONG, unready).await.expect("it stays ready");
    // Time in which a server that did not wait would have closed.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.http("GET /healthz").await.status, 200);
    let job = server.http(&format!("GET {JOBS}/{id}")).await;
    assert_eq!((job.status, &job.json()["status"]), (200, &"pending".into()));
    let refused = server.post(&Form::of(b"audio")).await;
    assert_eq!((refused.status, &*refused.code()), (503, "draining"));
    drop(jobs_work);
    server.server.drained().await;
}

async fn with_one_place(settings: &str) -> BatchServer {
    let jobs = JobSettings { max_uploads: 1, ..JobSettings::default() };
    BatchServer::with(config(settings), jobs, Tracers::off()).await
}

/// An upload that has begun and holds the only place, and what is missing of it.
async fn half_an_upload(server: &BatchServer) -> (TcpStream, Vec<u8>) {
    let form = Form::of(&[0; 1000]);
    let body = form.body();
    let mut stream = server.request(&format!("POST {JOBS}"), &form.content_type(), body.len(), "").await;
    stream.write_all(&body[..500]).await.expect("the server reads");
    let begun = async { while server.post(&form).await.status != 503 {} };
    timeout(LONG, begun).await.expect("it never holds its place");
    (stream, body[500..].to_vec())
}

#[tokio::test]
async fn an_upload_under_way_is_answered_before_the_end() {
    let server = with_one_place("").await;
    let (mut uploading, rest) = half_an_upload(&server).await;
    server.server.begin_drain();
    // Longer than requests are waited for that are no uploads.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    uploading.write_all(&rest).await.unwrap();
    let answer = Answer::read(&mut uploading).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    server.server.drained().await;
}

#[tokio::test]
async fn an_upload_that_does_not_end_is_not_awaited_beyond_the_deadline() {
    let server = with_one_place("[http]\ndrain_timeout = 0.3").await;
    let _stuck = half_an_upload(&server).await;
    let began = Instant::now();
    server.server.begin_drain();
    server.server.drained().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
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

#[tokio::test]
async fn what_had_arrived_is_read_however_long_the_worker_takes_for_it() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    for n in 0..20 {
        client.audio([n; 1_000]).await;
    }
    client.text(r#"{"type":"end"}"#).await;
    server.begin_drain();
    // Far longer than what is under way is waited for; eight messages are with the worker, the rest must wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.audio([99; 1_000]).await;
    let (audio, then) = session.audio().await;
    assert_eq!(audio.len(), 20_000);
    let Some(ToWorker::Message(message)) = then else { panic!("{then:?}") };
    assert_eq!(*message, ClientMessage::End);
    session.finish().await;
    let (_, code, _) = client.rest().await;
    assert_eq!(code, 1000, "it had said `end`, and is answered");
    server.drained().await;
}

#[tokio::test]
async fn a_client_that_never_stops_is_not_read_for_ever() {
    let mut server = Server::start("[stream]\nclose_timeout = 0.2").await;
    let (mut client, other) = (server.connect("").await, server.connect("").await);
    let mut session = server.session().await;
    let flood = tokio::spawn(async move {
        let mut client = other;
        while client.0.send(Message::binary(vec![1; 16_000])).await.is_ok() {}
    });
    let mut flooded = server.session().await;
    server.begin_drain();
    let (_, then) = flooded.audio().await;
    assert!(matches!(&then, Some(ToWorker::Close(close)) if close.code == CloseCode::Restart), "{then:?}");
    assert!(matches!(session.next().await, Some(ToWorker::Close(_))));
    for session in [session, flooded] {
        session.close(Close::new(CloseCode::Restart, "connect again")).await;
    }
    assert_eq!(client.rest().await.1, 1012);
    server.drained().await;
    flood.await.unwrap();
}

#[tokio::test]
async fn a_worker_that_hears_no_more_does_not_move_the_deadline() {
    let mut server = Server::start("[http]\ndrain_timeout = 0.3").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    session.channel.from_client.close();
    client.audio([0; 1_000]).await;
    let began = Instant::now();
    server.begin_drain();
    assert_eq!(client.rest().await.1, 1012);
    server.drained().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_session_that_ends_already_has_no_longer_than_the_drain_has() {
    let mut server = Server::start("[http]\ndrain_timeout = 0.3").await;
    let client = server.connect("").await;
    let mut session = server.session().await;
    // The worker answers for what it received, and takes its time.
    drop(client);
    assert_eq!(session.next().await, None);
    let began = Instant::now();
    server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_close_is_cut() {
    let mut server = Server::start("[http]\ndrain_timeout = 0.3").await;
    let mut client = server.connect_raw("").await;
    let _session = server.session().await;
    let began = Instant::now();
    server.begin_drain();
    let (_, code) = read_frames(&mut client).await;
    assert_eq!(code, Some(1012));
    server.drained().await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
