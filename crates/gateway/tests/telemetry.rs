//! What is recorded of requests and sessions: spans with the right parents, and nothing that should not be told (TL2,
//! TL3).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_protocol::realtime::ServerMessage;
use dalston_telemetry::{Options, RingLimits, SpanCounters, SpanRecord, TraceContext, Tracers};
use serde_json::Value;
use support::{CAPACITY, Server, config};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn traced() -> Server {
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston-gateway") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    Server::with(config(""), tracers, CAPACITY).await
}

/// The spans of a trace once its gateway span has ended.
async fn spans(server: &Server, trace: &str, name: &str) -> Vec<SpanRecord> {
    loop {
        let answer = server.http(&format!("GET /v1/traces/{trace}")).await;
        if answer.status == 200 {
            let trace: Value = answer.json();
            let spans: Vec<SpanRecord> = serde_json::from_value(trace["spans"].clone()).unwrap();
            if spans.iter().any(|span| span.name == name) {
                return spans;
            }
        }
        tokio::task::yield_now().await;
    }
}

fn one<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{spans:?}");
    named[0]
}

#[tokio::test]
async fn a_session_is_one_span_under_the_clients_and_over_the_workers() {
    for (query, headers) in [("", vec![("traceparent", PARENT)]), (&*format!("?traceparent={PARENT}"), vec![])] {
        let mut server = traced().await;
        let mut client = server.connect_with(query, &headers).await;
        let session = server.session().await;
        let (session_id, offered) = (session.offer.session_id.to_string(), session.offer.trace.clone());
        assert_eq!(offered.trace_id().as_deref(), Some(TRACE));
        session.finish().await;
        let begin = client.event().await;
        assert!(matches!(begin, ServerMessage::SessionBegin { trace_id: Some(id), .. } if id == TRACE));
        assert_eq!(client.rest().await.1, 1000);

        let name = "WebSocket /v1/audio/transcriptions/stream";
        let spans = spans(&server, TRACE, name).await;
        let root = one(&spans, name);
        assert_eq!((root.kind.as_str(), root.service.as_str()), ("server", "dalston-gateway"));
        assert_eq!(root.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
        let attribute = |key: &str| root.attributes.get(key).cloned().unwrap_or_default();
        assert_eq!(attribute("session.id"), session_id.as_str());
        assert_eq!(attribute("dalston.outcome"), "completed");
        assert_eq!(attribute("dalston.websocket.close_code"), 1000);
        assert_eq!(attribute("http.route"), "/v1/audio/transcriptions/stream");
        let allocate = one(&spans, "session_router.allocate");
        assert_eq!(allocate.parent_span_id.as_ref(), Some(&root.span_id));
        let offered = offered.to_traceparent().unwrap();
        assert!(offered.contains(&allocate.span_id), "the worker's spans stand under the allocation");
    }
}

#[tokio::test]
async fn a_refused_session_has_its_span_too() {
    let server = traced().await;
    let mut client = server.connect_with("?sample_rate=1", &[("traceparent", PARENT)]).await;
    assert_eq!(client.refusal().await.1, 4400);
    let name = "WebSocket /v1/audio/transcriptions/stream";
    let spans = spans(&server, TRACE, name).await;
    assert_eq!(one(&spans, name).attributes["dalston.outcome"], "bad_request");
    assert_eq!(one(&spans, name).status, "unset", "the client's fault is no error of the server's span");
}

#[tokio::test]
async fn a_request_is_a_span_named_by_its_route_and_says_which_trace_it_is() {
    let server = traced().await;
    let answer = server.http(&format!("GET /v1/models?secret=canary\r\ntraceparent: {PARENT}")).await;
    let response = TraceContext::from_traceparent(answer.header("traceresponse").unwrap());
    assert_eq!(response.trace_id().as_deref(), Some(TRACE));
    let spans = spans(&server, TRACE, "GET /v1/models").await;
    let span = one(&spans, "GET /v1/models");
    assert_eq!(
        (&span.attributes["http.response.status_code"], &span.attributes["http.status_code"]),
        (&200.into(), &200.into())
    );
    assert!(!serde_json::to_string(span).unwrap().contains("canary"));
    let list = server.http("GET /v1/traces?limit=500").await.json();
    assert!(list["traces"].as_array().unwrap().iter().any(|trace| trace["trace_id"] == TRACE), "{list}");
    assert_eq!(server.http("GET /v1/traces?limit=0").await.code(), "invalid_parameter");
}

#[tokio::test]
async fn probes_are_not_traced() {
    let server = traced().await;
    for probe in ["/healthz", "/readyz", "/metrics"] {
        let answer = server.http(&format!("GET {probe}\r\ntraceparent: {PARENT}")).await;
        assert_eq!(answer.header("traceresponse"), None, "{probe}");
    }
    assert_eq!(server.http(&format!("GET /v1/traces/{TRACE}")).await.status, 404);
}
