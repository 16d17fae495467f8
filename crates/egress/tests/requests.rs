//! What is sent, where to, and as part of which trace.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use dalston_egress::{Client, EgressError, Origin, Request, Settings};
use dalston_telemetry::{Component, Options, RingLimits, SpanCounters, TraceContext, Tracers};
use http::{HeaderValue, header};
use support::{LIMITS, Server, body, client, fetched, get, ok, origin, redirect, settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

const HERE: &[(&str, &str)] = &[("here.example", "127.0.0.1")];
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_request_goes_out_as_it_was_meant() {
    let mut server = Server::answering(ok("")).await;
    let url = format!("http://here.example:{}/a%20b/c?d=e&f#g", server.address.port());
    let request = Request::post(&url, Bytes::from_static(b"{}"), LIMITS, origin())
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    client(&["127.0.0.1"], HERE).send(request).await.unwrap();
    let request = server.requests.recv().await.unwrap();
    assert!(request.starts_with("POST /a%20b/c?d=e&f HTTP/1.1\r\n"), "{request}");
    for line in [
        format!("host: here.example:{}", server.address.port()),
        "content-type: application/json".into(),
        "content-length: 2".into(),
        "accept-encoding: identity".into(),
        "x-request-id: req_1".into(),
        concat!("user-agent: Dalston/", env!("CARGO_PKG_VERSION")).into(),
    ] {
        assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
    }
    assert!(request.ends_with("\r\n\r\n{}"), "{request}");
}

#[tokio::test]
async fn a_redirect_repeats_a_request_or_asks_for_what_came_of_it() {
    for (status, expected) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let mut there = Server::answering(ok("")).await;
        let here = Server::answering(redirect(status, &there.url("/there"))).await;
        let url = here.url("/");
        let request = Request::post(&url, Bytes::from_static(b"body"), LIMITS, origin())
            .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        client(&["127.0.0.1"], &[]).send(request).await.unwrap();
        let request = there.requests.recv().await.unwrap();
        assert!(request.starts_with(&format!("{expected} /there ")), "{status}: {request}");
        assert_eq!(request.ends_with("body"), expected == "POST", "{status}: {request}");
        // Another port is another origin.
        assert!(!request.contains("secret"), "{status}: {request}");
    }
}

#[tokio::test]
async fn each_hop_is_a_client_span_whose_context_goes_along() {
    let mut server = Server::serving("127.0.0.1:0", |request| {
        if request.contains("/first") { redirect(302, "/second?token=hunter2") } else { ok("x") }
    })
    .await;
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    let ring = tracers.ring().unwrap().clone();
    let client = Client::new(settings(&["127.0.0.1"]), tracers).unwrap();
    let trace = TraceContext::from_traceparent(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let origin = Origin { component: Component::Orchestrator, trace, request_id: "req_7" };
    let url = server.url("/first?token=hunter2");
    let response = client.send(Request::get(&url, LIMITS, origin)).await.unwrap();
    body(response).await.unwrap();

    let mut spans = ring.get(TRACE).unwrap();
    spans.sort_by_key(|span| span.start_unix_nanos);
    assert_eq!(spans.len(), 2);
    for (span, status) in spans.iter().zip([302, 200]) {
        assert_eq!((span.name.as_str(), span.kind.as_str()), ("GET", "client"));
        assert_eq!(span.service, "dalston-orchestrator");
        assert_eq!(span.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
        let attribute = |key: &str| span.attributes[key].clone();
        assert_eq!(attribute("http.response.status_code"), status);
        assert_eq!(attribute("server.address"), "127.0.0.1");
        assert_eq!(attribute("server.port"), server.address.port());
        assert_eq!(attribute("dalston.request_id"), "req_7");
        assert!(!format!("{span:?}").contains("hunter2"), "no query string: {span:?}");
        let request = server.requests.recv().await.unwrap();
        assert!(request.contains(&format!("traceparent: 00-{TRACE}-{}-01\r\n", span.span_id)), "{request}");
    }
}

/// A server with a certificate of its own for `here.example`, and the file of it.
async fn secure(answer: String) -> (u16, tempfile::TempDir, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["here.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, folder, file)
}

fn trusting(ca_file: Option<PathBuf>) -> Client {
    let settings = Settings { ca_file, ..settings(&["127.0.0.1"]) };
    let client = Client::new(settings, Tracers::off()).unwrap();
    client.with_names(|_| Ok(vec![[127, 0, 0, 1].into()]))
}

#[tokio::test]
async fn a_certificate_is_trusted_for_its_name_by_who_trusts_it() {
    let (port, _folder, file) = secure(ok("in confidence")).await;
    let url = format!("https://here.example:{port}/");
    assert_eq!(fetched(&trusting(Some(file.clone())), &url).await.unwrap(), "in confidence");
    let error = get(&trusting(None), &url).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
    let error = get(&trusting(Some(file)), &format!("https://other.example:{port}/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn no_redirect_leads_out_of_confidence() {
    let plain = Server::answering(ok("")).await;
    let (port, _folder, file) = secure(redirect(302, &plain.url("/"))).await;
    let error = get(&trusting(Some(file)), &format!("https://here.example:{port}/")).await.unwrap_err();
    assert!(matches!(error, EgressError::BadRedirect(_)), "{error:?}");
    assert_eq!(plain.connections(), 0);
}

#[test]
fn a_file_without_certificates_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.pem");
    for content in [None, Some("nothing")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let settings = Settings { ca_file: Some(file.clone()), ..Settings::default() };
        let error = Client::new(settings, Tracers::off()).unwrap_err();
        assert!(error.to_string().contains("none.pem"), "{error}");
    }
}
