//! The trace of a session, read back from the ring: tree, counts, statistics, and what may not get in.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::time::{Duration, Instant};

use dalston_telemetry::{
    Chunk, Label, Lap, Options, RingLimits, RootSampler, SamplerPolicy, SessionOutcome, SessionStart, SessionTotals,
    SessionTrace, SpanCounters, SpanRates, SpanRecord, TraceContext, Tracers, Transcript, TranscriptKind, VadEndpoint,
    key, names, waterfall,
};
use proptest::prelude::*;

const AUDIO: Duration = Duration::from_millis(20);
const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn tracers(rates: SpanRates) -> Tracers {
    let limits = RingLimits { spans: 2_000_000, bytes: usize::MAX };
    let options = Options { rates, trace_ring: Some(limits), ..Options::new("dalston") };
    Tracers::start(&options, SpanCounters::default()).unwrap().0
}

fn start(session_id: &str) -> SessionStart<'_> {
    SessionStart {
        session_id,
        request_id: "req_1",
        worker_id: "wrk_1",
        engine_id: "loopback",
        model: "loopback",
        language: "en",
        encoding: "pcm_s16le",
        sample_rate: 16_000,
        channels: 1,
    }
}

fn totals() -> SessionTotals {
    SessionTotals {
        outcome: SessionOutcome::Completed,
        close_code: 1000,
        audio: Duration::from_secs(3),
        speech: Duration::from_secs(2),
        utterances: 1,
        lag_max: Duration::from_millis(5),
        dropped_events: 0,
    }
}

fn lap(took: Duration) -> Lap {
    let start = Instant::now();
    Lap::between(start, start + took)
}

fn quick() -> Lap {
    lap(Duration::from_micros(50))
}

fn chunk() -> Chunk {
    Chunk { audio: AUDIO, bytes: 640, lag: Duration::ZERO, failed: false }
}

fn transcript(kind: TranscriptKind) -> Transcript {
    Transcript { kind, utterance: 1, audio: Duration::from_secs(1), words: 3, failed: false }
}

/// A root, an allocation and a session, as the services open them.
fn run_session(tracers: &Tracers, seed: u64, work: impl FnOnce(&mut SessionTrace)) -> Vec<SpanRecord> {
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let trace_id = root.context().trace_id().unwrap();
    let allocate = tracers.allocate(&root.context());
    let mut trace = SessionTrace::begin_seeded(tracers, &allocate.context(), &start("ses_1"), Some(seed));
    drop(allocate);
    work(&mut trace);
    trace.end(&totals());
    drop(root);
    tracers.ring().unwrap().get(&trace_id).unwrap()
}

fn named<'a>(spans: &'a [SpanRecord], name: &str) -> Vec<&'a SpanRecord> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn number(span: &SpanRecord, key: names::Key) -> f64 {
    span.attributes[key.as_str()].as_f64().unwrap()
}

/// `service name` of each span, indented by its depth below the root.
fn tree(spans: &[SpanRecord]) -> String {
    fn below(spans: &[SpanRecord], parent: &str, depth: usize, text: &mut String) {
        for span in spans.iter().filter(|span| span.parent_span_id.as_deref() == Some(parent)) {
            text.push_str(&format!("{}{} {}\n", "  ".repeat(depth), span.service, span.name));
            below(spans, &span.span_id, depth + 1, text);
        }
    }
    let root = spans.iter().find(|span| span.parent_span_id.is_none()).unwrap();
    let mut text = format!("{} {}\n", root.service, root.name);
    below(spans, &root.span_id, 1, &mut text);
    text
}

#[test]
fn a_session_is_one_tree_over_three_lanes() {
    let spans = run_session(&tracers(SpanRates::ALL), 1, |trace| {
        let endpoint = VadEndpoint { reason: "silence", utterance: 1, speech: AUDIO, silence: AUDIO };
        trace.chunk(quick(), chunk());
        trace.vad_endpoint(quick(), endpoint);
        trace.transcript(quick(), transcript(TranscriptKind::Final));
        trace.close(quick(), SessionOutcome::Completed, 1000);
    });
    assert_eq!(
        tree(&spans),
        "dalston-gateway WebSocket /v1/audio/transcriptions/stream
  dalston-session-router session_router.allocate
    dalston-realtime realtime.session
      dalston-realtime realtime.session_start
      dalston-realtime realtime.process_audio_chunk
      dalston-realtime realtime.vad_endpoint
      dalston-realtime realtime.generate_transcript
      dalston-realtime realtime.session_close
"
    );
    assert_eq!(spans[0].kind, "server");
    let in_session = spans.iter().filter(|span| span.service == "dalston-realtime");
    assert!(in_session.clone().all(|span| span.attributes["session.id"] == "ses_1"), "{spans:#?}");
    assert!(waterfall::render(&spans, 120, false).lines().count() == 9);
}

#[test]
fn session_start_is_visible_while_the_session_is_open() {
    let tracers = tracers(SpanRates::default());
    let root = tracers.websocket("/v1/audio/transcriptions/stream", Some(CLIENT));
    let open = SessionTrace::begin(&tracers, &root.context(), &start("ses_open"));
    let spans = tracers.ring().unwrap().get("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), [names::span::SESSION_START]);
    assert_eq!(spans[0].attributes["session.id"], "ses_open");
    assert!(waterfall::render(&spans, 100, false).contains("(still open)"));
    open.end(&totals());
}

#[test]
fn a_client_is_the_parent_but_cannot_force_sampling() {
    let keep = tracers(SpanRates::default());
    drop(keep.websocket("/v1/audio/transcriptions/stream", Some(CLIENT)));
    let spans = keep.ring().unwrap().get("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    assert_eq!(spans[0].parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    assert!(spans[0].parent_is_remote);

    let sampler = SamplerPolicy { root: RootSampler::AlwaysOff, parent_based: true };
    let ring = Some(RingLimits::default());
    let options = Options { sampler, trace_ring: ring, ..Options::new("dalston") };
    let (off, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    let root = off.websocket("/v1/audio/transcriptions/stream", Some(CLIENT));
    let session = SessionTrace::begin(&off, &root.context(), &start("ses_1"));
    assert!(!root.is_recording() && !session.is_traced());
    assert_eq!(root.context().trace_id().as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"), "the id still leads on");
    assert!(off.ring().unwrap().recent(10).is_empty());
}

#[test]
fn at_rate_one_there_is_a_span_for_every_chunk_and_the_totals_agree() {
    let spans = run_session(&tracers(SpanRates::ALL), 7, |trace| {
        for _ in 0..500 {
            trace.chunk(quick(), chunk());
            trace.transcript(quick(), transcript(TranscriptKind::Partial));
        }
        trace.transcript(quick(), transcript(TranscriptKind::Final));
    });
    let session = named(&spans, names::span::SESSION)[0];
    assert_eq!(named(&spans, names::span::CHUNK).len(), 500);
    assert_eq!(number(session, key::CHUNKS_TOTAL), 500.0);
    assert_eq!(number(session, key::CHUNKS_SAMPLED), 500.0);
    assert_eq!(number(session, key::PARTIALS_TOTAL), 500.0);
    assert_eq!(number(session, key::FINALS_SAMPLED), 1.0);
}

#[test]
fn slow_and_failed_chunks_are_always_kept_and_count_for_themselves() {
    let never = SpanRates { chunk: 0.0, vad: 0.0, partial: 0.0 };
    let spans = run_session(&tracers(never), 1, |trace| {
        for _ in 0..100 {
            trace.chunk(quick(), chunk());
        }
        trace.chunk(lap(AUDIO + Duration::from_nanos(1)), chunk());
        trace.chunk(quick(), Chunk { failed: true, ..chunk() });
        trace.transcript(quick(), Transcript { failed: true, ..transcript(TranscriptKind::Partial) });
        trace.transcript(quick(), transcript(TranscriptKind::Final));
    });
    let chunks = named(&spans, names::span::CHUNK);
    let reasons: Vec<_> = chunks.iter().map(|span| span.attributes["dalston.sampling.reason"].clone()).collect();
    assert_eq!(reasons, ["slow", "error"]);
    assert_eq!(chunks.iter().map(|span| number(span, key::ADJUSTED_COUNT)).sum::<f64>(), 2.0);
    assert_eq!(chunks[1].status, "error");
    assert_eq!(named(&spans, names::span::TRANSCRIPT).len(), 2);
    assert_eq!(number(named(&spans, names::span::SESSION)[0], key::CHUNKS_TOTAL), 102.0);
}

#[test]
fn spans_stand_where_their_instants_say() {
    let spans = run_session(&tracers(SpanRates::ALL), 1, |trace| {
        let watch = trace.stopwatch();
        std::hint::black_box((0..20_000).sum::<u64>());
        trace.chunk(watch.stop(), chunk());
    });
    let session = named(&spans, names::span::SESSION)[0];
    for child in spans.iter().filter(|span| span.parent_span_id.as_ref() == Some(&session.span_id)) {
        assert!(child.start_unix_nanos >= session.start_unix_nanos, "{}", child.name);
        assert!(child.end_unix_nanos() <= session.end_unix_nanos(), "{}", child.name);
    }
    assert!(named(&spans, names::span::CHUNK)[0].duration_nanos > 0);
}

#[test]
fn a_session_that_is_dropped_says_so() {
    let tracers = tracers(SpanRates::default());
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    drop(SessionTrace::begin(&tracers, &root.context(), &start("ses_1")));
    let spans = tracers.ring().unwrap().get(&root.context().trace_id().unwrap()).unwrap();
    let session = named(&spans, names::span::SESSION)[0];
    assert_eq!(session.status, "error");
    assert_eq!(session.status_message.as_deref(), Some("the session was dropped before its end"));
}

#[test]
fn spoken_text_cannot_enter_a_span() {
    const CANARY: &str = "my card number is four two";
    let tracers = tracers(SpanRates::ALL);
    let root = tracers.websocket(CANARY, Some(CANARY));
    root.set(key::MODEL, Label::new(CANARY));
    drop(tracers.http_server(CANARY, CANARY, None));
    let hostile = SessionStart { request_id: CANARY, model: CANARY, language: CANARY, ..start(CANARY) };
    SessionTrace::begin(&tracers, &root.context(), &hostile).end(&totals());
    let trace_id = root.context().trace_id().unwrap();
    drop(root);
    let ring = tracers.ring().unwrap();
    let stored =
        serde_json::to_string(&ring.get(&trace_id)).unwrap() + &serde_json::to_string(&ring.recent(9)).unwrap();
    assert!(!stored.contains("four two"), "{stored}");
    assert!(stored.contains("(redacted)"));
}

#[test]
fn four_hundred_sessions_at_one_in_twenty_are_estimated_within_the_99_percent_interval() {
    const CHUNKS: u32 = 150;
    let p = 0.05;
    let tracers = tracers(SpanRates { chunk: p, vad: p, partial: p });
    let mut estimate = 0.0;
    for seed in 0..400 {
        let spans = run_session(&tracers, seed, |trace| (0..CHUNKS).for_each(|_| trace.chunk(quick(), chunk())));
        estimate += named(&spans, names::span::CHUNK).iter().map(|span| number(span, key::ADJUSTED_COUNT)).sum::<f64>();
        assert_eq!(number(named(&spans, names::span::SESSION)[0], key::CHUNKS_TOTAL), f64::from(CHUNKS));
    }
    let total = f64::from(400 * CHUNKS);
    let half_width = 2.576 * (total * (1.0 - p) / p).sqrt();
    assert!((estimate - total).abs() < half_width, "{estimate} for {total} ± {half_width}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the mix of ordinary, slow and failed chunks: the session knows the exact number, every slow or failed one has
    /// a span, and the adjusted counts estimate the total within six standard deviations of the ordinary ones alone.
    #[test]
    fn adjusted_counts_estimate_any_mix(p in 0.02f64..1.0, seed: u64, slow in 0u32..20, failed in 0u32..20) {
        let ordinary = 2_000u32;
        let rates = SpanRates { chunk: p, vad: p, partial: p };
        let spans = run_session(&tracers(rates), seed, |trace| {
            for n in 0..ordinary.max(slow).max(failed) {
                if n < ordinary { trace.chunk(quick(), chunk()); }
                if n < slow { trace.chunk(lap(AUDIO * 2), chunk()); }
                if n < failed { trace.chunk(quick(), Chunk { failed: true, ..chunk() }); }
            }
        });
        let chunks = named(&spans, names::span::CHUNK);
        let kept = chunks.iter().filter(|span| span.attributes.contains_key("dalston.sampling.reason")).count();
        prop_assert_eq!(kept as u32, slow + failed);
        let session = named(&spans, names::span::SESSION)[0];
        prop_assert_eq!(number(session, key::CHUNKS_TOTAL), f64::from(ordinary + slow + failed));
        prop_assert_eq!(number(session, key::CHUNKS_SAMPLED) as usize, chunks.len());
        let estimate: f64 = chunks.iter().map(|span| number(span, key::ADJUSTED_COUNT)).sum();
        let deviation = (f64::from(ordinary) * (1.0 - p) / p).sqrt();
        let total = f64::from(ordinary + slow + failed);
        prop_assert!((estimate - total).abs() <= 6.0 * deviation + 1e-6, "{} for {} at {}", estimate, total, p);
    }
}

#[test]
fn a_trace_context_crosses_a_process_boundary_as_a_header() {
    let tracers = tracers(SpanRates::default());
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let header = root.context().to_traceparent().unwrap();
    let arrived = TraceContext::from_traceparent(&header);
    let session = SessionTrace::begin(&tracers, &arrived, &start("ses_1"));
    assert_eq!(session.trace_id(), root.context().trace_id());
    session.end(&totals());
}
