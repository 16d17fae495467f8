//! Following a job: waits within a request, server-sent events, and OpenAI's way.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{sync::Arc, time::Duration};

use dalston_gateway::JobSettings;
use dalston_telemetry::Tracers;
use serde_json::Value;
use support::{
    LONG, config,
    jobs::{BatchServer, Form, JOBS, heard},
    wire::read_until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

async fn patient(max_wait: Duration) -> Arc<BatchServer> {
    let settings = JobSettings { max_wait, ..JobSettings::default() };
    Arc::new(BatchServer::with(config(""), settings, Tracers::off()).await)
}

#[tokio::test]
async fn who_waits_gets_the_finished_job() {
    for (path, form) in
        [(format!("{JOBS}?wait=true"), Form::of(b"a")), (JOBS.into(), Form::of(b"a").field("wait", "true"))]
    {
        let server = patient(LONG).await;
        let posting = tokio::spawn({
            let server = server.clone();
            async move { server.post_to(&path, &form, "").await }
        });
        let id = server.worker.next_job("anonymous").await;
        server.worker.complete(&id, &heard()).await;
        let answer = posting.await.unwrap();
        assert_eq!((answer.status, &answer.json()["status"]), (201, &"completed".into()));
        assert_eq!(answer.json()["transcript"]["text"], "go forward ten meters");
    }
}

#[tokio::test]
async fn who_waits_too_long_gets_the_status() {
    let server = patient(Duration::from_millis(100)).await;
    let answer = server.post_to(&format!("{JOBS}?wait=true"), &Form::of(b"a"), "").await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &"pending".into()));
}

#[tokio::test]
async fn events_tell_of_progress_until_the_end() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let mut events = Events::open(&server, &id, "").await;
    assert_eq!(events.next().await["status"], "pending");
    let task = server.worker.begin(&id).await;
    assert_eq!(events.next().await["status"], "running");
    server.worker.progress(&task, 0.5).await;
    let half = events.next().await;
    assert_eq!((half["progress"].as_f64(), &half["stages"][0]["status"]), (Some(0.5), &"running".into()));
    server.worker.finish(&task, &heard()).await;
    let last = loop {
        let event = events.next().await;
        if event["status"] != "running" {
            break event;
        }
    };
    assert_eq!((&last["status"], last.get("transcript")), (&"completed".into(), None));
    let mut rest = Vec::new();
    timeout(LONG, events.0.read_to_end(&mut rest)).await.expect("the stream stays open").unwrap();

    // A browser asks again by itself; being told that there is nothing more, it stops.
    let again = server.http(&format!("GET {JOBS}/{id}/events\r\nLast-Event-ID: last")).await;
    assert_eq!(again.status, 204);
}

#[tokio::test]
async fn a_quiet_event_stream_says_that_it_lives_and_ends_with_the_server() {
    let settings = JobSettings { keepalive: Duration::from_millis(50), ..JobSettings::default() };
    let server = BatchServer::with(config(""), settings, Tracers::off()).await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let mut events = Events::open(&server, &id, "").await;
    events.next().await;
    read_until(&mut events.0, b": still here\n\n").await;
    server.server.begin_drain();
    let mut rest = Vec::new();
    timeout(LONG, events.0.read_to_end(&mut rest)).await.expect("the stream stays open").unwrap();
    server.server.drained().await;
}

#[tokio::test]
async fn a_cancelled_job_ends_its_event_stream() {
    let server = BatchServer::start().await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let mut events = Events::open(&server, &id, "").await;
    events.next().await;
    server.http(&format!("POST {JOBS}/{id}/cancel")).await;
    assert_eq!(events.next().await["status"], "cancelled");
    let mut rest = Vec::new();
    timeout(LONG, events.0.read_to_end(&mut rest)).await.expect("the stream stays open").unwrap();
}

#[tokio::test]
async fn no_more_follow_than_may() {
    let settings = JobSettings { max_followers: 1, ..JobSettings::default() };
    let server = BatchServer::with(config(""), settings, Tracers::off()).await;
    let id = server.accepted(&Form::of(b"audio")).await;
    let mut events = Events::open(&server, &id, "").await;
    events.next().await;
    let refused = server.http(&format!("GET {JOBS}/{id}/events")).await;
    assert_eq!((refused.status, &*refused.code()), (503, "no_capacity"));
    drop(events);
    server.http(&format!("POST {JOBS}/{id}/cancel")).await;
    let free = async { while server.http(&format!("GET {JOBS}/{id}/events")).await.status == 503 {} };
    timeout(LONG, free).await.expect("the place is not given back");
}

/// What a client sees of an event stream, in HTTP/1.0, which has no chunks.
struct Events(TcpStream);

impl Events {
    async fn open(server: &BatchServer, id: &dalston_protocol::JobId, headers: &str) -> Self {
        let mut stream = TcpStream::connect(server.server.address).await.unwrap();
        let head = format!("GET {JOBS}/{id}/events HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", server.server.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        let head = read_until(&mut stream, b"\r\n\r\n").await.to_lowercase();
        assert!(head.contains(" 200 ") && head.contains("content-type: text/event-stream"), "{head}");
        Self(stream)
    }

    async fn next(&mut self) -> Value {
        let event = read_until(&mut self.0, b"\n\n").await;
        let (kind, data) = event.split_once("data: ").unwrap_or_else(|| panic!("{event}"));
        assert!(kind.starts_with("event: progress\n"), "{event}");
        serde_json::from_str(data.trim_end()).unwrap()
    }
}
