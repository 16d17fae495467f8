//! What reaches a collector over OTLP gRPC, and what happens when there is none.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use dalston_telemetry::{
    Chunk, Lap, Options, SessionOutcome, SessionStart, SessionTotals, SessionTrace, SpanCounters, SpanRates,
    TelemetryGuard, Tracers,
};
use support::{Collector, Received};

const CLIENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

fn pipeline(options: &Options) -> (Tracers, TelemetryGuard, SpanCounters) {
    let counters = SpanCounters::default();
    let (tracers, guard) = Tracers::start(options, counters.clone()).unwrap();
    (tracers, guard, counters)
}

fn options(endpoint: &str) -> Options {
    let rates = SpanRates::ALL;
    Options { otel_enabled: true, endpoint: endpoint.to_owned(), rates, ..Options::new("dalston") }
}

fn session(tracers: &Tracers, chunks: usize) {
    let root = tracers.websocket("/v1/audio/transcriptions/stream", Some(CLIENT));
    let allocate = tracers.allocate(&root.context());
    let start = SessionStart {
        session_id: "ses_1",
        request_id: "req_1",
        worker_id: "wrk_1",
        engine_id: "loopback",
        model: "loopback",
        language: "en",
        encoding: "pcm_s16le",
        sample_rate: 16_000,
        channels: 1,
    };
    let mut trace = SessionTrace::begin(tracers, &allocate.context(), &start);
    drop(allocate);
    let now = Instant::now();
    let chunk = Chunk { audio: Duration::from_millis(20), bytes: 640, lag: Duration::ZERO, failed: false };
    (0..chunks).for_each(|_| trace.chunk(Lap::between(now, now), chunk));
    trace.end(&SessionTotals {
        outcome: SessionOutcome::Completed,
        close_code: 1000,
        audio: Duration::from_secs(1),
        speech: Duration::from_secs(1),
        utterances: 1,
        lag_max: Duration::ZERO,
        dropped_events: 0,
    });
}

fn took(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn a_session_arrives_as_one_tree_under_three_services() {
    let collector = Collector::start();
    let (tracers, guard, counters) = pipeline(&options(&collector.endpoint));
    session(&tracers, 3);
    assert!(guard.flush(Duration::from_secs(5)));

    let spans = collector.spans();
    assert_eq!(spans.len(), 7);
    assert_eq!(counters.exported.get(), 7);
    let by_id: HashMap<_, _> = spans.iter().map(|r| (r.span.span_id.clone(), r)).collect();
    let parent = |child: &Received| by_id.get(&child.span.parent_span_id).map_or("client", |r| r.span.name.as_str());
    let mut edges: Vec<_> = spans.iter().map(|r| format!("{} {} < {}", r.service, r.span.name, parent(r))).collect();
    edges.sort();
    edges.dedup();
    assert_eq!(
        edges,
        [
            "dalston-gateway WebSocket /v1/audio/transcriptions/stream < client",
            "dalston-realtime realtime.process_audio_chunk < realtime.session",
            "dalston-realtime realtime.session < session_router.allocate",
            "dalston-realtime realtime.session_start < realtime.session",
            "dalston-session-router session_router.allocate < WebSocket /v1/audio/transcriptions/stream",
        ]
    );
    assert!(spans.iter().all(|r| hex(&r.span.trace_id) == "4bf92f3577b34da6a3ce929d0e0e4736"));
    let in_session: Vec<_> = spans.iter().filter(|r| r.service == "dalston-realtime").collect();
    assert!(in_session.iter().all(|r| r.attributes()["session.id"] == "ses_1"));
}

#[test]
fn session_start_arrives_while_the_session_is_open() {
    let collector = Collector::start();
    let (tracers, _guard, _) = pipeline(&options(&collector.endpoint));
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    let start = SessionStart {
        session_id: "ses_open",
        request_id: "req_1",
        worker_id: "wrk_1",
        engine_id: "loopback",
        model: "loopback",
        language: "en",
        encoding: "pcm_s16le",
        sample_rate: 16_000,
        channels: 1,
    };
    let trace = SessionTrace::begin(&tracers, &root.context(), &start);
    let spans = collector.wait_for(1);
    assert_eq!(spans[0].span.name, "realtime.session_start");
    assert_eq!(spans[0].attributes()["session.id"], "ses_open");
    drop(trace);
}

#[test]
fn shutdown_delivers_everything_that_was_queued() {
    let collector = Collector::start();
    let (tracers, guard, counters) = pipeline(&options(&collector.endpoint));
    // Several batches, and few enough for an unoptimised build on a busy machine within the deadline of a shutdown.
    session(&tracers, 1_500);
    guard.shutdown();
    assert_eq!(collector.spans().len(), 1_504);
    assert_eq!(counters.exported.get(), 1_504);
    assert_eq!(counters.dropped(), 0);
}

#[test]
fn shutdown_on_a_runtime_thread_delivers_too() {
    let collector = Collector::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (tracers, guard, _) = pipeline(&options(&collector.endpoint));
        session(&tracers, 10);
        guard.shutdown();
    });
    assert_eq!(collector.spans().len(), 14);
}

#[test]
fn spans_that_end_after_shutdown_are_counted_as_dropped() {
    let collector = Collector::start();
    let (tracers, guard, counters) = pipeline(&options(&collector.endpoint));
    let late = tracers.websocket("/v1/audio/transcriptions/stream", None);
    guard.shutdown();
    drop(late);
    assert_eq!(counters.dropped_at_shutdown.get(), 1);
}

#[test]
fn a_refusing_collector_costs_no_wait_and_every_span_is_counted() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tracers, guard, counters) = pipeline(&options(&format!("http://127.0.0.1:{port}")));
    session(&tracers, 2000);
    let shutdown = took(|| guard.shutdown());
    assert!(shutdown < SHUTDOWN_LIMIT, "{shutdown:?}");
    assert_eq!(counters.exported.get() + counters.dropped(), 2004);
    assert_eq!(counters.exported.get(), 0);
}

#[test]
fn a_collector_that_never_answers_holds_nobody_up() {
    // It accepts connections, being in the kernel's backlog, and says nothing for ever.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tracers, guard, counters) = pipeline(&options(&format!("http://{}", silent.local_addr().unwrap())));
    session(&tracers, 2000);
    let shutdown = took(|| guard.shutdown());
    assert!(shutdown < SHUTDOWN_LIMIT, "{shutdown:?}");
    assert_eq!(counters.dropped(), 2004);
}

#[test]
fn a_flush_to_a_dead_collector_says_that_it_failed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (tracers, guard, _) = pipeline(&options(&format!("http://127.0.0.1:{port}")));
    session(&tracers, 1);
    assert!(!guard.flush(Duration::from_secs(10)));
}

#[test]
fn a_full_queue_drops_the_newest_counts_them_and_never_waits() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let (tracers, guard, counters) = pipeline(&Options { queue_spans: 100, ..options(&endpoint) });
    // Twenty thousand ends against a dead collector: were one of them to wait for it, this would take hours.
    let ending = took(|| session(&tracers, 20_000));
    assert!(ending < Duration::from_secs(5), "{ending:?}");
    assert!(counters.dropped_queue_full.get() >= 20_004 - 100 - 2 * 512, "{counters:?}");
    guard.shutdown();
    assert_eq!(counters.dropped(), 20_004);
}

#[test]
fn a_collector_that_comes_back_is_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (tracers, guard, counters) = pipeline(&options(&endpoint));
    session(&tracers, 1);
    assert!(!guard.flush(Duration::from_secs(10)));
    let collector = Collector::start_on(TcpListener::bind(address).unwrap());
    session(&tracers, 1);
    guard.shutdown();
    assert_eq!(collector.spans().len(), 5);
    assert_eq!((counters.exported.get(), counters.dropped()), (5, 5));
}

#[test]
fn an_overriding_service_name_keeps_the_lanes() {
    let collector = Collector::start();
    let name = Some("acme".to_owned());
    let (tracers, guard, _) = pipeline(&Options { service_name: name, ..options(&collector.endpoint) });
    session(&tracers, 0);
    guard.shutdown();
    let mut services: Vec<_> = collector.spans().into_iter().map(|r| r.service).collect();
    services.sort();
    services.dedup();
    assert_eq!(services, ["acme-gateway", "acme-realtime", "acme-session-router"]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
