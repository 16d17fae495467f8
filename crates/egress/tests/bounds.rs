//! Time, size and redirects are bounded, whatever the other side does.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::{Duration, Instant};

use dalston_egress::{Client, EgressError, Limits, Request, Settings};
use dalston_telemetry::Tracers;
use support::{LIMITS, Server, body, client, fetched, get, ok, origin, redirect, settings};
use tokio::{io::AsyncWriteExt, net::TcpListener};

fn impatient(idle: u64) -> Client {
    let settings = Settings { idle_timeout: Duration::from_millis(idle), ..settings(&["127.0.0.1"]) };
    Client::new(settings, Tracers::off()).unwrap()
}

async fn limited(client: &Client, url: &str, limits: Limits) -> Result<Vec<u8>, EgressError> {
    body(client.send(Request::get(url, limits, origin())).await?).await
}

#[tokio::test]
async fn a_body_is_read_whole_up_to_its_limit() {
    let server = Server::answering(ok(&"x".repeat(1000))).await;
    let client = client(&["127.0.0.1"], &[]);
    let exactly = Limits { body: 1000, ..LIMITS };
    assert_eq!(limited(&client, &server.url("/"), exactly).await.unwrap().len(), 1000);
    let error = limited(&client, &server.url("/"), Limits { body: 999, ..LIMITS }).await.unwrap_err();
    assert!(matches!(error, EgressError::TooLarge { limit: 999 }), "{error:?}");
}

#[tokio::test]
async fn ten_gigabytes_are_not_waited_for() {
    let endless = |head: &'static str, piece: String| {
        Server::with("127.0.0.1:0", move |mut stream, _| {
            let piece = piece.clone();
            async move {
                stream.write_all(head.as_bytes()).await.unwrap();
                // Until the client has enough of it.
                while stream.write_all(piece.as_bytes()).await.is_ok() {}
            }
        })
    };
    let client = client(&["127.0.0.1"], &[]);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n", "x".repeat(0x10000)),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk),
        ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(0x10000)),
    ] {
        let server = endless(head, piece).await;
        let error = limited(&client, &server.url("/"), LIMITS).await.unwrap_err();
        assert!(matches!(error, EgressError::TooLarge { limit: 0x10_0000 }), "{head}: {error:?}");
    }
    let server = endless("HTTP/1.1 200 OK\r\n", "X-Header: x\r\n".repeat(1000)).await;
    let error = get(&client, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Broken(_)), "a head without an end: {error:?}");
}

#[tokio::test]
async fn silence_is_not_borne_for_long() {
    for said in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let server = Server::with("127.0.0.1:0", move |mut stream, _| async move {
            stream.write_all(said.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let error = limited(&impatient(100), &server.url("/"), LIMITS).await.unwrap_err();
        assert!(matches!(error, EgressError::Idle(_)), "{said:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_trickle_ends_with_the_total() {
    let server = Server::with("127.0.0.1:0", |mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let total = Duration::from_millis(400);
    let began = Instant::now();
    let error = limited(&impatient(5000), &server.url("/"), Limits { total, ..LIMITS }).await.unwrap_err();
    assert!(matches!(error, EgressError::Timeout(limit) if limit == total), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_host_that_is_not_there_or_does_not_take_tls_is_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = client(&["127.0.0.1"], &[]);
    let error = get(&client, &format!("http://{gone}/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect(_)), "{error:?}");
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", plain.local_addr().unwrap());
    let greets = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"220 welcome\r\n").await.unwrap();
        stream
    };
    let (answer, _stream) = tokio::join!(get(&client, &url), greets);
    let error = answer.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_not_http_or_breaks_off_is_an_error() {
    let client = client(&["127.0.0.1"], &[]);
    let cases = [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1e999\r\n\r\nx",
    ];
    for answer in cases {
        let server = Server::answering(answer).await;
        let error = limited(&client, &server.url("/"), LIMITS).await.expect_err(answer);
        assert!(matches!(error, EgressError::Broken(_)), "{answer:?}: {error:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_may_be() {
    let server = Server::serving("127.0.0.1:0", |request| {
        let count: u8 = request.split(['/', ' ']).find_map(|part| part.parse().ok()).unwrap();
        if count == 0 { ok("arrived") } else { redirect(302, &format!("/{}", count - 1)) }
    })
    .await;
    let client = client(&["127.0.0.1"], &[]);
    assert_eq!(fetched(&client, &server.url("/3")).await.unwrap(), "arrived");
    let error = fetched(&client, &server.url("/4")).await.unwrap_err();
    assert!(matches!(error, EgressError::TooManyRedirects { limit: 3 }), "{error:?}");
    let none = client.send(Request::get(&server.url("/1"), Limits { redirects: 0, ..LIMITS }, origin())).await;
    assert_eq!(none.unwrap().status(), 302, "an answer like any other where none is followed");
}
