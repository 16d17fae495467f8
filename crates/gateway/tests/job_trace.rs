//! What is recorded of an upload, and what of it goes on with the job (TL2, TL3).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_gateway::JobSettings;
use dalston_telemetry::{Options, RingLimits, SpanCounters, SpanRecord, Tracers};
use support::{
    config,
    jobs::{BatchServer, Form, JOBS},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn traced() -> BatchServer {
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston-gateway") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    BatchServer::with(config(""), JobSettings::default(), tracers).await
}

async fn spans(server: &BatchServer, root: &str) -> Vec<SpanRecord> {
    loop {
        let answer = server.http(&format!("GET /v1/traces/{TRACE}")).await;
        if answer.status == 200 {
            let spans: Vec<SpanRecord> = serde_json::from_value(answer.json()["spans"].clone()).unwrap();
            if spans.iter().any(|span| span.name == root) {
                return spans;
            }
        }
        tokio::task::yield_now().await;
    }
}

fn one<'a>(spans: &'a [SpanRecord], name: &str) -> &'a SpanRecord {
    let named: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(named.len(), 1, "{name}: {spans:?}");
    named[0]
}

#[tokio::test]
async fn an_upload_is_a_step_of_its_own_and_the_job_goes_on_from_its_announcement() {
    let server = traced().await;
    let headers = format!("traceparent: {PARENT}\r\nX-Request-ID: mine-1\r\n");
    let answer = server.post_to(JOBS, &Form::of(b"canary audio").field("vocabulary", r#"["canary"]"#), &headers).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(answer.header("traceresponse").unwrap().contains(TRACE));

    let spans = spans(&server, "POST /v1/audio/transcriptions").await;
    let root = one(&spans, "POST /v1/audio/transcriptions");
    assert_eq!(root.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    for (name, kind) in
        [("upload_to_s3", "internal"), ("gateway.create_job", "internal"), ("publish_job_created_event", "producer")]
    {
        let span = one(&spans, name);
        assert_eq!((span.kind.as_str(), span.service.as_str()), (kind, "dalston-gateway"), "{name}");
        assert_eq!(span.parent_span_id.as_ref(), Some(&root.span_id), "{name}");
    }
    let id = answer.json()["id"].as_str().unwrap().parse().unwrap();
    let (job, _) = server.worker.job(&id).await;
    let published = one(&spans, "publish_job_created_event");
    assert_eq!(job.traceparent, Some(format!("00-{TRACE}-{}-01", published.span_id)));
    assert_eq!(job.request_id.as_str(), "mine-1");
    assert!(!serde_json::to_string(&spans).unwrap().contains("canary"), "a span tells what was sent");
    let shown = server.http(&format!("GET {JOBS}/{id}")).await.json();
    assert_eq!((&shown["trace_id"], &shown["request_id"]), (&TRACE.into(), &"mine-1".into()));
}
