//! Bounds, eviction, and what a reader gets.

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

use super::*;

fn ring(spans: usize, bytes: usize) -> TraceRing {
    TraceRing::new(RingLimits { spans, bytes }, ServiceNames::new("dalston", None))
}

fn span(trace: u128, id: u64, attributes: Vec<KeyValue>) -> SpanData {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(id);
    let flags = TraceFlags::SAMPLED;
    SpanData {
        span_context: SpanContext::new(TraceId::from(trace), SpanId::from(id), flags, false, TraceState::default()),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "work".into(),
        start_time: start,
        end_time: start + Duration::from_secs(1),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::default(),
    }
}

fn id(trace: u128) -> String {
    format!("{trace:032x}")
}

fn sample() -> Vec<KeyValue> {
    vec![KeyValue::new(key::ADJUSTED_COUNT.as_str(), 100.0)]
}

fn holds(ring: &TraceRing) -> (usize, usize) {
    let traces = ring.0.traces.lock();
    let spans = traces.by_id.values().map(|kept| kept.spans.len()).sum();
    let bytes = traces.by_id.values().map(|kept| kept.bytes).sum();
    assert_eq!((spans, bytes), (traces.spans, traces.bytes), "the books are in order");
    assert!(traces.touched.len() <= traces.spans, "the queue is as long as the ring holds spans");
    (spans, bytes)
}

#[test]
fn the_trace_touched_longest_ago_goes_whole() {
    let ring = ring(4, usize::MAX);
    ring.insert(Component::Gateway, span(1, 1, vec![]));
    ring.insert(Component::Gateway, span(2, 2, vec![]));
    ring.insert(Component::Gateway, span(2, 3, vec![]));
    ring.insert(Component::Gateway, span(1, 4, vec![]));
    ring.insert(Component::Gateway, span(3, 5, vec![]));
    assert!(ring.get(&id(2)).is_none());
    assert_eq!(ring.get(&id(1)).unwrap().len(), 2);
    assert_eq!(ring.get(&id(3)).unwrap()[0].service, "dalston-gateway");
}

#[test]
fn in_a_trace_over_its_share_samples_give_way_and_the_structure_stays() {
    let ring = ring(40, usize::MAX);
    for n in 0..100 {
        ring.insert(Component::Realtime, span(1, n, sample()));
    }
    assert_eq!(holds(&ring).0, 10);
    ring.insert(Component::Realtime, span(1, 200, vec![]));
    assert_eq!(ring.get(&id(1)).unwrap().len(), 11);
}

#[test]
fn the_latest_traces_are_listed_first() {
    let ring = ring(100, usize::MAX);
    for n in 1..=5 {
        ring.insert(Component::Realtime, span(n, n as u64, vec![]));
    }
    let recent = ring.recent(2);
    assert_eq!(recent.iter().map(|trace| trace.trace_id.clone()).collect::<Vec<_>>(), [id(5), id(4)]);
    assert_eq!((recent[0].name.as_str(), recent[0].spans, recent[0].duration_nanos), ("work", 1, 1_000_000_000));
}

#[test]
fn a_record_survives_json() {
    let ring = ring(10, usize::MAX);
    ring.insert(Component::Realtime, span(1, 1, vec![KeyValue::new("session.id", "ses_1"), KeyValue::new("n", 7)]));
    let records = ring.get(&id(1)).unwrap();
    let json = serde_json::to_string(&records).unwrap();
    assert_eq!(serde_json::from_str::<Vec<SpanRecord>>(&json).unwrap(), records);
    assert!(json.contains(r#""attributes":{"n":7,"session.id":"ses_1"}"#), "{json}");
}

#[test]
fn what_is_no_trace_id_is_not_found() {
    assert!(["", "zz", "../../etc/passwd", &"f".repeat(99)].iter().all(|bad| ring(1, 1).get(bad).is_none()));
}

proptest! {
    #[test]
    fn no_sequence_of_spans_passes_the_bounds(
        limit in 0usize..20,
        bytes in 0usize..20_000,
        spans in proptest::collection::vec((0u128..6, any::<bool>(), 0usize..2_000), 0..200),
    ) {
        let ring = ring(limit, bytes);
        for (n, (trace, sampled, weight)) in spans.into_iter().enumerate() {
            let mut attributes = if sampled { sample() } else { vec![] };
            attributes.push(KeyValue::new("text", "x".repeat(weight)));
            ring.insert(Component::Process, span(trace, n as u64, attributes));
            let (held, weighs) = holds(&ring);
            prop_assert!(held <= limit && weighs <= bytes);
        }
    }
}
