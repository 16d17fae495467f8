//! `configure_tracing` in a process of its own, which is this test binary run once more: the environment, standard error,
//! and delivery when the guard is dropped at the end of `main`.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod support;

use std::process::{Command, Output};

use dalston_telemetry::{configure_tracing, scope, tracers};
use serde_json::Value;
use support::Collector;

/// Set in the child, which then plays the part of a program.
const PROGRAM: &str = "DALSTON_TEST_PROGRAM";

fn run(variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_program", "--nocapture"]).env(PROGRAM, "1");
    for key in ["OTEL_ENABLED", "OTEL_SERVICE_NAME", "LOG_LEVEL", "LOG_FORMAT", "RUST_LOG"] {
        command.env_remove(key);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

/// Does nothing unless [`run`] started it.
#[test]
fn the_program() {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    let _guard = match configure_tracing("dalston") {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    };
    assert!(configure_tracing("dalston").is_err(), "a second call must not replace the first");
    let span = tracers().websocket("/v1/audio/transcriptions/stream", None);
    span.in_scope(|| {
        let _lent = scope("req_1", None).entered();
        tracing::info!(target: "dalston_gateway", "listening");
        tracing::info_span!(target: "dalston_realtime", "load_model").in_scope(|| {});
        tracing::debug!(target: "dalston_gateway", "a detail");
    });
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
}

#[test]
fn a_program_logs_json_to_standard_error_and_delivers_its_spans_at_the_end() {
    let collector = Collector::start();
    let output = run(&[("OTEL_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
    assert!(output.status.success());
    let lines = lines(&output);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["event"], &lines[0]["service"]), (&"listening".into(), &"dalston-gateway".into()));
    let spans = collector.spans();
    let mut names: Vec<_> = spans.iter().map(|r| (r.service.as_str(), r.span.name.as_str())).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [("dalston-gateway", "WebSocket /v1/audio/transcriptions/stream"), ("dalston-realtime", "load_model")]
    );
    let trace_id: String = spans[0].span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(lines[0]["trace_id"], trace_id.as_str());
}

#[test]
fn a_program_without_tracing_has_no_ids_in_its_lines() {
    let output = run(&[]);
    assert!(output.status.success());
    let lines = lines(&output);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["request_id"], "req_1");
    assert!(lines[0].get("trace_id").is_none());
}

#[test]
fn a_dead_collector_is_one_warning_and_no_delay() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let began = std::time::Instant::now();
    let output = run(&[("OTEL_ENABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    assert!(output.status.success());
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "{:?}", began.elapsed());
    let warnings: Vec<_> = lines(&output).into_iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["event"], "collector does not take spans");
    assert_eq!(warnings[0]["spans_lost"], 2);
}

#[test]
fn bad_variables_stop_a_program_and_name_their_keys() {
    let output = run(&[("OTEL_ENABLED", "perhaps"), ("LOG_FORMAT", "xml")]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("OTEL_ENABLED=\"perhaps\"") && text.contains("LOG_FORMAT=\"xml\""), "{text}");
}
