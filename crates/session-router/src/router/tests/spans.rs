//! What an allocation leaves in its trace and in the metrics.

use dalston_protocol::realtime::SessionConfig;
use dalston_telemetry::{SpanRecord, TraceContext};
use futures_util::FutureExt;

use super::stage::{Manner, Stage, request};
use crate::link::Refusal;

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl Stage {
    /// The one span of an allocation under the client's trace.
    fn span(&self) -> SpanRecord {
        let mut spans = self.ring.get("4bf92f3577b34da6a3ce929d0e0e4736").expect("the trace was recorded");
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }
}

fn attribute(span: &SpanRecord, key: &str) -> String {
    span.attributes.get(key).map(|value| value.to_string().replace('"', "")).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn the_span_tells_who_was_tried_and_the_worker_stands_under_it() {
    let stage = Stage::new();
    let good = stage.busy_worker().await;
    let _bad = stage.worker(10, Manner::Refuses(Refusal::Full)).await;
    let config = SessionConfig { language: "en".into(), model: Some("echo".into()), ..Default::default() };
    let parent = TraceContext::from_traceparent(CLIENT);
    let allocated = stage.router.allocate(request(config), &parent).await.expect("the good worker takes it");

    let span = stage.span();
    assert_eq!((span.name.as_str(), span.service.as_str()), ("session_router.allocate", "dalston-session-router"));
    assert_eq!(span.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    let check = |key: &str, expected: &str| assert_eq!(attribute(&span, key), expected, "{key}");
    check("dalston.outcome", "allocated");
    check("dalston.allocation.candidates", "2");
    check("dalston.allocation.attempts", "2");
    check("dalston.worker_id", good.id.as_str());
    check("dalston.engine_id", "echo");
    check("dalston.language", "en");
    check("dalston.model", "echo");
    assert_eq!(span.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["worker_refused"]);
    let offered = good.offers.lock()[0].trace.to_traceparent().expect("it is traced");
    assert!(offered.contains(&span.span_id), "{offered} is not under {}", span.span_id);
    drop(allocated);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_ours_fails_the_span_and_a_mistake_of_the_clients_does_not() {
    let check = async |model: Option<&str>, outcome: &str, status: &str| {
        let stage = Stage::new();
        let _worker = stage.worker(0, Manner::Accepts).await;
        let config = SessionConfig { model: model.map(Into::into), ..Default::default() };
        let parent = TraceContext::from_traceparent(CLIENT);
        stage.router.allocate(request(config), &parent).await.expect_err("there is no room");
        let span = stage.span();
        assert_eq!((attribute(&span, "dalston.outcome").as_str(), span.status.as_str()), (outcome, status));
    };
    check(None, "no_capacity", "error").await;
    check(Some("whisper"), "model_not_found", "unset").await;
}

#[tokio::test(start_paused = true)]
async fn an_allocation_whose_client_left_says_so_and_is_counted() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Silent).await;
    let parent = TraceContext::from_traceparent(CLIENT);
    let waiting = stage.router.allocate(request(SessionConfig::default()), &parent).now_or_never();
    assert!(waiting.is_none(), "the worker is silent");
    let span = stage.span();
    assert_eq!(attribute(&span, "dalston.outcome"), "cancelled");
    assert_eq!(attribute(&span, "dalston.allocation.attempts"), "1");
    assert!(stage.metrics.encode().contains("dalston_allocation_seconds_count 1"), "{}", stage.metrics.encode());
}
