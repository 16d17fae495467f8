//! Log lines and the bridge, as they are installed, with the lines in memory.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing::{Instrument, error, info, info_span, warn};

use super::*;
use crate::{LogFormat, RingLimits, SessionStart, SessionTrace, SpanRecord, key, scope};

/// Telemetry of this test's thread.
struct Installed {
    tracers: Tracers,
    lines: Arc<Mutex<String>>,
    _default: DefaultGuard,
}

impl Installed {
    fn new(with_spans: bool, level: &str, format: LogFormat) -> Self {
        let options = Options {
            trace_ring: with_spans.then(RingLimits::default),
            log_level: level.to_owned(),
            log_format: format,
            ..Options::new("dalston")
        };
        let (tracers, _idle) = Tracers::start(&options, SpanCounters::default()).unwrap();
        let lines = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&lines);
        let write = move |line: &[u8]| sink.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
        let _default = tracing::subscriber::set_default(subscriber(&options, &tracers, write).unwrap());
        Self { tracers, lines, _default }
    }

    fn json(with_spans: bool) -> Self {
        Self::new(with_spans, "info", LogFormat::Json)
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn spans(&self, trace_id: &Value) -> Vec<SpanRecord> {
        self.tracers.ring().unwrap().get(trace_id.as_str().unwrap()).unwrap()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

const START: SessionStart<'_> = SessionStart {
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

#[test]
fn a_line_is_one_object_with_its_members_in_order() {
    let installed = Installed::json(true);
    let span = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    span.in_scope(|| {
        scope("req_7", Some("ses_7")).in_scope(|| {
            info!(target: "dalston_gateway::ws", close_code = 1000u16, seconds = 1.5, resumed = false, "session\nended");
        });
    });
    let text = installed.text();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let trace_id = span.context().trace_id().unwrap();
    let expected_start = r#"{"timestamp":"20"#;
    assert!(text.starts_with(expected_start), "{text}");
    let (head, tail) = text.split_once(r#","level""#).unwrap();
    assert!(head.ends_with("Z\""), "{head}");
    let (before_span, after_span) = tail.split_once(r#","span_id":""#).unwrap();
    assert_eq!(
        before_span,
        format!(
            r#":"INFO","service":"dalston-gateway","event":"session\nended","request_id":"req_7","trace_id":"{trace_id}""#
        )
    );
    assert_eq!(
        &after_span[16..],
        "\",\"session_id\":\"ses_7\",\"close_code\":1000,\"seconds\":1.5,\"resumed\":false}\n"
    );
}

#[test]
fn what_is_not_there_is_absent_and_not_empty() {
    let installed = Installed::json(true);
    info!("outside any span");
    let line = &installed.lines()[0];
    for absent in ["request_id", "trace_id", "span_id"] {
        assert!(line.get(absent).is_none(), "{line}");
    }
    assert_eq!(line["service"], "dalston");
}

#[test]
fn without_tracing_a_line_has_no_ids() {
    let installed = Installed::json(false);
    let span = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    block_on(span.around(async { info_span!("inner").in_scope(|| info!("hello")) }));
    assert!(installed.lines()[0].get("trace_id").is_none());
}

#[test]
fn a_field_cannot_pose_as_a_member_of_the_format() {
    let installed = Installed::json(false);
    info!(level = "FAKE", service = "fake", event = "fake", timestamp = 0, "real");
    let text = installed.text();
    assert_eq!(text.matches("\"level\"").count(), 1, "{text}");
    assert!(!text.contains("FAKE") && !text.contains("fake"), "{text}");
}

#[test]
fn an_error_is_told_with_its_causes() {
    let installed = Installed::json(false);
    let cause = std::io::Error::other("disk on fire");
    let failure = TelemetryError::Thread(cause);
    error!(error = &failure as &dyn std::error::Error, "cannot go on");
    assert_eq!(installed.lines()[0]["error"], "cannot start the exporter's thread: disk on fire");
}

#[test]
fn the_request_id_survives_a_high_log_level() {
    let installed = Installed::new(false, "off,dalston_telemetry=warn", LogFormat::Json);
    scope("req_1", None).in_scope(|| warn!("careful"));
    let line = &installed.lines()[0];
    assert_eq!(line["request_id"], "req_1");
    assert!(line.get("session_id").is_none());
}

#[test]
fn tasks_that_interleave_on_one_thread_keep_their_own_ids() {
    let installed = Installed::json(true);
    let one = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    let two = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    let chat = |name: &'static str| async move {
        for _ in 0..3 {
            info!(name, "turn");
            tokio::task::yield_now().await;
        }
    };
    block_on(async { tokio::join!(one.around(chat("one")), two.around(chat("two"))) });
    let lines = installed.lines();
    assert_eq!(lines.len(), 6);
    for line in &lines {
        let span = if line["name"] == "one" { &one } else { &two };
        assert_eq!(line["trace_id"].as_str(), span.context().trace_id().as_deref());
    }
}

#[test]
fn a_tracing_span_of_ours_is_a_child_in_its_component_lane() {
    let installed = Installed::json(true);
    let root = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    block_on(root.around(async {
        let find = info_span!(target: "dalston_session_router::registry", "find_worker", candidates = 3);
        async { info!(target: "dalston_session_router", "looking") }.instrument(find).await;
    }));
    let line = installed.lines()[0].clone();
    let spans = installed.spans(&line["trace_id"]);
    assert_eq!(line["trace_id"].as_str(), root.context().trace_id().as_deref());
    assert_eq!((spans[0].name.as_str(), spans[0].service.as_str()), ("find_worker", "dalston-session-router"));
    assert_eq!(line["span_id"], spans[0].span_id);
    assert_eq!(spans[0].attributes["candidates"], 3);
    drop(root);
    let spans = installed.spans(&line["trace_id"]);
    let root = spans.iter().find(|span| span.name.starts_with("WebSocket")).unwrap();
    let child = spans.iter().find(|span| span.name == "find_worker").unwrap();
    assert_eq!(child.parent_span_id.as_ref(), Some(&root.span_id));
}

#[test]
fn only_spans_of_ours_at_info_or_above_reach_the_trace() {
    let installed = Installed::new(true, "trace", LogFormat::Json);
    let root = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    root.in_scope(|| {
        info_span!(target: "h2::client", "transport").in_scope(|| {});
        tracing::debug_span!(target: "dalston_gateway", "detail").in_scope(|| {});
        scope("req_1", None).in_scope(|| {});
        info!(target: "dalston_gateway", "an event is a log line and no event of a span");
    });
    let trace_id = Value::from(root.context().trace_id().unwrap());
    drop(root);
    let spans = installed.spans(&trace_id);
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), [crate::names::span::WEBSOCKET_STREAM]);
    assert!(spans[0].events.is_empty());
}

#[test]
fn a_session_lends_its_ids_to_lines_and_takes_no_children() {
    let installed = Installed::json(true);
    let root = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    let session = SessionTrace::begin(&installed.tracers, &root.context(), &START);
    block_on(session.log_ids().around(async {
        info!("in the session");
        async { info!("deeper") }.instrument(info_span!(target: "dalston_realtime::vad", "per_chunk")).await;
    }));
    drop(session);
    let lines = installed.lines();
    let spans = installed.spans(&lines[0]["trace_id"]);
    let session = spans.iter().find(|span| span.name == crate::names::span::SESSION).unwrap();
    assert_eq!(lines[0]["span_id"], session.span_id);
    assert_eq!(lines[1]["span_id"], session.span_id);
    assert!(spans.iter().all(|span| span.name != "per_chunk"), "{spans:#?}");
}

#[test]
fn an_instrumented_future_that_outlives_its_span_does_not_hold_it_open() {
    let installed = Installed::json(true);
    let root = installed.tracers.websocket("/v1/audio/transcriptions/stream", None);
    root.set(key::CLOSE_CODE, 1000u16);
    let trace_id = Value::from(root.context().trace_id().unwrap());
    let later = root.around(async {});
    drop(root);
    assert_eq!(installed.spans(&trace_id).len(), 1);
    block_on(later);
}

#[test]
fn a_pretty_line_is_for_people_and_moves_no_cursor() {
    let installed = Installed::new(false, "info", LogFormat::Pretty { colour: false });
    scope("req_1", None).in_scope(|| warn!(target: "dalston_gateway", path = "/a\u{1b}[2J", "odd request"));
    let text = installed.text();
    let (time, rest) = text.split_at(12);
    assert_eq!(time.matches(':').count(), 2);
    assert_eq!(rest, "  WARN dalston-gateway odd request path=/a\u{fffd}[2J request_id=req_1\n");
}
