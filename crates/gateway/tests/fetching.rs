//! Audio that the server fetches itself.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{net::SocketAddr, time::Duration};

use dalston_gateway::JobSettings;
use dalston_telemetry::{Options, RingLimits, SpanCounters, TraceContext, Tracers};
use support::{
    config,
    jobs::{BatchServer, Form, JOBS, heard},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that answers each path in a way of its own, and what it heard last.
struct Elsewhere {
    address: SocketAddr,
    heard: tokio::sync::watch::Receiver<String>,
}

impl Elsewhere {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, heard) = tokio::sync::watch::channel(String::new());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 8192];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = answer(request.split([' ', '?']).nth(1).unwrap_or_default());
                sender.send_replace(request);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer(path: &str) -> String {
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let redirect = |to: &str| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    match path {
        "/talks/go%20forward.wav" => ok("RIFF audio"),
        "/moved" => redirect("/talks/go%20forward.wav"),
        "/empty" => ok(""),
        "/large" => ok(&"x".repeat(2000)),
        "/half" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf".into(),
        "/inward" => redirect("http://169.254.169.254/latest/meta-data/?token=hunter2"),
        "/inward-by-name" => redirect("http://intern.example/?token=hunter2"),
        "/other-scheme" => redirect("file:///etc/passwd"),
        "/circle" => redirect("/circle"),
        "/silent" => String::new(),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
    }
}

fn fetch(url: &str) -> Form {
    Form::default().field("audio_url", url)
}

#[tokio::test]
async fn what_is_fetched_becomes_a_job_like_what_is_uploaded() {
    let (server, elsewhere) = (BatchServer::start().await, Elsewhere::start().await);
    let uploaded = server.accepted(&Form::of(b"RIFF audio")).await;
    for path in ["/talks/go%20forward.wav?token=hunter2", "/moved"] {
        let id = server.accepted(&fetch(&elsewhere.url(path)).field("language", "en")).await;
        let (fetched, original) = (server.worker.job(&id).await.0, server.worker.job(&uploaded).await.0);
        assert_eq!((fetched.source.bytes, &fetched.source.sha256), (10, &original.source.sha256));
        let name = if path == "/moved" { "moved" } else { "go forward.wav" };
        assert_eq!((fetched.name.as_deref(), fetched.source.file_name.as_deref()), (Some(name), Some(name)));
        assert!(!format!("{fetched:?}").contains("hunter2"), "the URL is not kept: {fetched:?}");
        server.worker.complete(&id, &heard()).await;
        assert_eq!(server.http(&format!("GET {JOBS}/{id}")).await.json()["status"], "completed");
    }
}

#[tokio::test]
async fn what_cannot_be_fetched_is_refused_by_name_without_the_url_and_leaves_nothing_behind() {
    let settings = JobSettings { max_upload: 1024, ..JobSettings::default() };
    let server = BatchServer::with(config(""), settings, Tracers::off()).await;
    let elsewhere = Elsewhere::start().await;
    let check = async |form: Form, status: u16, told: &str| {
        let answer = server.post(&form).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (status, &"audio_url".into()), "{told}: {answer:?}");
        assert!(error["message"].as_str().unwrap().contains(told), "{told}: {error}");
        assert!(!answer.body.contains("hunter2"), "{answer:?}");
    };
    let secret = "?token=hunter2";
    for inward in
        ["http://169.254.169.254/", "http://0x7f.2/", "http://[::1]/", "http://localhost/", "http://intern.example/"]
    {
        check(fetch(&format!("{inward}{secret}")), 400, "has a host without a public address").await;
    }
    check(fetch("file:///etc/passwd"), 400, "must begin with https:// or http://").await;
    check(fetch("http://user:hunter2@example.org/"), 400, "user name or password").await;
    check(fetch("hunter2"), 400, "is not one").await;
    check(fetch(""), 400, "is not one").await;
    for (path, status, told) in [
        ("/none", 400, "the status 404"),
        ("/empty", 400, "an empty file"),
        ("/large", 413, "more than 1024 bytes"),
        ("/half", 400, "broken off"),
        ("/silent", 400, "broken off"),
        ("/inward", 400, "redirects to another, which has a host without a public address"),
        ("/inward-by-name", 400, "redirects to another, which has a host without a public address"),
        ("/other-scheme", 400, "redirects to another, which must begin with"),
        ("/circle", 400, "redirects more than 5 times"),
    ] {
        check(fetch(&elsewhere.url(&format!("{path}{secret}"))), status, told).await;
    }
    check(fetch(&elsewhere.url("/large")).file("a.wav", b"a"), 400, "not both").await;
    check(Form::of(b"a").field("audio_url", "http://example.org/"), 400, "not both").await;
    server.nothing_stays().await;
    assert_eq!(server.http(&format!("GET {JOBS}")).await.json()["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_fetch_takes_no_longer_than_an_upload() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = JobSettings { upload_timeout: Duration::from_millis(200), ..JobSettings::default() };
    let server = BatchServer::with(config(""), settings, Tracers::off()).await;
    // Connections are taken by the system, and nobody ever answers.
    let answer = server.post(&fetch(&format!("http://{}/", listener.local_addr().unwrap()))).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("within 0.2 s"), "{answer:?}");
}

#[tokio::test]
async fn a_fetch_stands_in_the_trace_of_its_request() {
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston-gateway") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    let ring = tracers.ring().unwrap().clone();
    let server = BatchServer::with(config(""), JobSettings::default(), tracers).await;
    let elsewhere = Elsewhere::start().await;
    let id = server.accepted(&fetch(&elsewhere.url("/talks/go%20forward.wav?token=hunter2"))).await;
    let traceparent = server.worker.job(&id).await.0.traceparent.unwrap();
    let spans = ring.get(&TraceContext::from_traceparent(&traceparent).trace_id().unwrap()).unwrap();
    let upload = spans.iter().find(|span| span.name == "upload_to_s3").unwrap();
    let get = spans.iter().find(|span| span.kind == "client").unwrap();
    assert_eq!(get.parent_span_id.as_ref(), Some(&upload.span_id));
    assert!(elsewhere.heard.borrow().contains(&get.span_id), "it is told whose child it is");
    assert!(!format!("{spans:?}").contains("hunter2"));
}
