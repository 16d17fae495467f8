//! What a scrape reads.

use super::*;

/// The value of the series that begins with `series`.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

#[test]
fn what_is_counted_is_scraped() {
    let spans = SpanCounters::default();
    let metrics = Metrics::with_spans(&spans);
    metrics.sessions_open.set(3);
    metrics.session_ended(SessionOutcome::LagExceeded);
    metrics.allocation.observe(Duration::from_micros(3));
    metrics.audio_seconds.inc_by(1.5);
    metrics.websocket_message(Direction::In, 640);
    metrics.websocket_message(Direction::In, 640);
    metrics.websocket_message(Direction::Out, 100);
    metrics.http_request("GET", "/v1/models", 200, Duration::from_millis(2));
    metrics.decoder.waiting.inc();
    spans.exported.inc_by(5);
    spans.dropped_queue_full.inc_by(7);
    let text = metrics.encode();
    for (series, expected) in [
        ("dalston_sessions_open", 3.0),
        ("dalston_sessions_ended_total{outcome=\"lag_exceeded\"}", 1.0),
        ("dalston_sessions_ended_total{outcome=\"completed\"}", 0.0),
        ("dalston_allocation_seconds_count", 1.0),
        ("dalston_audio_seconds_total", 1.5),
        ("dalston_websocket_payload_bytes_total{direction=\"in\"}", 1280.0),
        ("dalston_websocket_messages_total{direction=\"out\"}", 1.0),
        ("dalston_http_requests_total{method=\"GET\",route=\"/v1/models\",status=\"200\"}", 1.0),
        ("dalston_http_request_duration_seconds_count{route=\"/v1/models\"}", 1.0),
        ("dalston_decoder_streams_waiting", 1.0),
        ("dalston_spans_exported_total", 5.0),
        ("dalston_spans_dropped_total{reason=\"queue_full\"}", 7.0),
        ("dalston_spans_dropped_total{reason=\"shutdown\"}", 0.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(value(&text, "process_resident_memory_bytes") > 100_000.0);
    assert!(value(&text, "process_cpu_seconds_total") >= 0.0);
    assert!(value(&text, "process_open_fds") >= 3.0);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_flood_of_routes_and_methods_makes_a_bounded_number_of_series() {
    let metrics = Metrics::with_spans(&SpanCounters::default());
    for n in 0..10_000u16 {
        metrics.http_request(&format!("M{n}"), &format!("/path/{n}"), n, Duration::ZERO);
    }
    let text = metrics.encode();
    let durations = text.lines().filter(|line| line.starts_with("dalston_http_request_duration_seconds_count")).count();
    assert_eq!(durations, 65);
    assert!(text.contains("method=\"other\",route=\"other\",status=\"0\""));
    assert!(text.lines().filter(|line| line.starts_with("dalston_http_requests_total")).count() < 700);
}

#[test]
fn every_metric_has_a_help_text_and_a_type() {
    let text = Metrics::with_spans(&SpanCounters::default()).encode();
    let of_kind = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
    assert_eq!(of_kind("# HELP"), of_kind("# TYPE"));
    assert!(of_kind("# TYPE") > 20, "{text}");
}
