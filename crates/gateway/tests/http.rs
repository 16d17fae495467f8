//! The HTTP side: probes, errors, ids, limits of connections.

mod support;

use std::time::Duration;

use dalston_telemetry::Tracers;
use support::{
    LONG, Server, config,
    wire::{Answer, read_until},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

#[tokio::test]
async fn ready_means_that_a_worker_is_there() {
    let server = Server::start("").await;
    assert_eq!(server.http("GET /healthz").await.status, 200);
    assert_eq!(server.http("GET /readyz").await.status, 200);

    let lonely = Server::with(config(""), Tracers::off(), 0).await;
    assert_eq!(lonely.http("GET /healthz").await.status, 200);
    let answer = lonely.http("GET /readyz").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_capacity"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn status_workers_models_and_engines_say_what_runs() {
    let mut server = Server::start("").await;
    let _client = server.connect("").await;
    let _session = server.session().await;
    let status = server.http("GET /v1/realtime/status").await.json();
    assert_eq!(status["status"], "ready");
    assert_eq!((status["sessions"]["used"].as_u64(), status["sessions"]["capacity"].as_u64()), (Some(1), Some(1_000)));
    let workers = server.http("GET /v1/realtime/workers").await.json();
    assert_eq!(workers["workers"][0]["worker_id"], server.worker_id.as_str());
    assert_eq!(server.http("GET /v1/models").await.json()["data"][0]["id"], "scripted");
    let engines = server.http("GET /v1/engines").await.json();
    assert_eq!(
        (&engines["engines"][0]["engine_id"], &engines["engines"][0]["workers"]),
        (&"scripted".into(), &1.into())
    );
    let metrics = server.http("GET /metrics").await;
    assert!(metrics.body.contains("dalston_sessions_open 1"), "{}", metrics.body);
    assert!(server.http("GET /").await.body.contains("/v1/audio/transcriptions/stream"));
}

#[tokio::test]
async fn errors_have_one_shape() {
    let server = Server::start("[http]\nmax_body = 1024").await;
    let check = async |request: &str, status: u16, code: &str| {
        let answer = server.http(request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{request}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer
    };
    check("GET /nowhere", 404, "not_found").await;
    check("GET /v1/traces/../../etc/passwd", 404, "not_found").await;
    let answer = check("DELETE /healthz", 405, "method_not_allowed").await;
    assert!(answer.header("allow").is_some_and(|allow| allow.contains("get")), "{answer:?}");
    check("GET /v1/audio/transcriptions/stream", 400, "invalid_message").await;
    let answer = check("GET /v1/traces", 404, "not_found").await;
    assert!(answer.body.contains("--trace-ring"), "{}", answer.body);
}

#[tokio::test]
async fn a_request_id_comes_back_if_it_is_safe_and_is_made_if_not() {
    let server = Server::start("").await;
    let check = async |given: &str| {
        let answer = server.http(&format!("GET /healthz\r\nX-Request-ID: {given}")).await;
        answer.header("x-request-id").unwrap_or_default().to_owned()
    };
    assert_eq!(check("abc-123").await, "abc-123");
    for unsafe_id in ["a b", "a\"b", "\u{1F600}", &"x".repeat(65)] {
        assert!(check(unsafe_id).await.starts_with("req_"), "{unsafe_id}");
    }
}

#[tokio::test]
async fn a_sessions_request_id_is_the_callers() {
    let mut server = Server::start("").await;
    let _client = server.connect_with("", &[("x-request-id", "mine-1")]).await;
    assert_eq!(server.session().await.offer.request_id.as_str(), "mine-1");
}

#[tokio::test]
async fn a_half_sent_head_is_cut_at_the_limit() {
    let server = Server::start("[http]\nheader_timeout = 0.3").await;
    for half in ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(LONG, stream.read_to_end(&mut answer)).await.expect("a half-sent head stays open").unwrap();
        assert!(began.elapsed() >= Duration::from_millis(250), "{half:?} was cut after {:?}", began.elapsed());
    }
    // A head that drips is no better than one that stops.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let dripping = async {
        while stream.write_all(b"GET /healthz HTTP/1.1\r\nX: 1\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, dripping).await.expect("a dripping head stays open");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start("").await;
    let answer = server.http(&format!("GET /healthz\r\nX-Large: {}", "x".repeat(300_000))).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn the_largest_vocabulary_fits_into_a_request() {
    let mut server = Server::start("").await;
    let terms: Vec<String> = (0..100).map(|n| format!("%22{}{n:02}%22", "%C3%BC".repeat(48))).collect();
    let _client = server.connect(&format!("?vocabulary=%5B{}%5D", terms.join("%2C"))).await;
    let session = server.session().await;
    assert_eq!(session.offer.config.vocabulary.len(), 100);
    assert_eq!(session.offer.config.vocabulary[7], format!("{}07", "ü".repeat(48)));
}

#[tokio::test]
async fn a_full_gateway_still_answers_probes_but_opens_no_session() {
    let mut server = Server::start("[http]\nmax_connections = 2").await;
    let _first = server.connect("").await;
    let _session = server.session().await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let answer = loop {
        // The idle connection takes its place when the accept loop comes to it.
        let answer = server.http("GET /healthz").await;
        if answer.header("connection") == Some("close") {
            break answer;
        }
    };
    assert_eq!(answer.status, 200);
    let upgrade = "GET /v1/audio/transcriptions/stream\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let answer = server.http(upgrade).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_capacity"));
}

#[tokio::test]
async fn a_gateway_that_was_full_and_is_empty_again_opens_sessions() {
    let mut server = Server::start("[http]\nmax_connections = 3").await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(server.connect("").await);
        server.session().await;
    }
    drop(clients);
    while server.metrics.connections_open.get() > 0 {
        tokio::task::yield_now().await;
    }
    // Refused, it would not become a WebSocket.
    let _client = server.connect("").await;
    server.session().await;
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = Server::start("").await;
    let check = async |hosts: &str, status: u16| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = Answer::read(&mut stream).await;
        assert_eq!(answer.status, status, "{hosts:?}: {answer:?}");
    };
    check("", 400).await;
    check("Host: localhost\r\nHost: localhost\r\n", 400).await;
    check("Host: localhost\r\n", 200).await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let server = Server::start("[http]\nmax_body = 1024").await;
    let check = async |size: usize, status: u16| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = "POST /auth/tokens HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
        let request = format!("{head}Content-Length: {size}\r\n\r\n{}", "x".repeat(size));
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, status, "{size} bytes");
    };
    check(1_024, 201).await;
    check(1_025, 413).await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_and_pipelined_ones() {
    let server = Server::start("").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(read_until(&mut stream, b"{\"status\":\"ok\"}").await.starts_with("HTTP/1.1 200"));
    }
    stream.write_all(request.repeat(2).as_bytes()).await.unwrap();
    stream.write_all(request.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n").as_bytes()).await.unwrap();
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.body.matches("HTTP/1.1 200").count(), 2, "{answer:?}");
}
