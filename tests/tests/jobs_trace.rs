//! TL2: a job is one trace across the gateway, the orchestrator and the engines, and its time and its waits are in it.

use std::{fs, path::Path};

use dalston_tests::{
    Collector, Server,
    jobs::{Form, PATH},
    trace,
};
use serde_json::Value;

const EXPECTED: &str = "\
[dalston-gateway] POST /v1/audio/transcriptions
  [dalston-gateway] upload_to_s3
  [dalston-gateway] publish_job_created_event
    [dalston-orchestrator] orchestrator.handle_job
      [dalston-orchestrator] orchestrator.build_dag
      [dalston-orchestrator] orchestrator.schedule_task
        [dalston-engine-prepare] engine.prepare.process
          [dalston-engine-prepare] download_input
          [dalston-engine-prepare] prepare
          [dalston-engine-prepare] upload_output
    [dalston-orchestrator] orchestrator.handle_task_completed
      [dalston-orchestrator] orchestrator.schedule_task
        [dalston-engine-transcribe] engine.loopback.process
          [dalston-engine-transcribe] download_input
          [dalston-engine-transcribe] transcribe
          [dalston-engine-transcribe] upload_output
      [dalston-orchestrator] orchestrator.assemble_transcript
      [dalston-orchestrator] orchestrator.mark_job_completed
  [dalston-gateway] gateway.create_job
";

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// A job of some seconds: half a second of audio takes a fifth.
const SLOW: &str = "delay=200ms";

fn traced_form() -> Form {
    Form::demo()
        .field("timestamps_granularity", "word")
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("X-Request-ID", "ticket-4711")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_job_is_one_trace_below_its_client_and_its_stages_account_for_its_time() {
    let collector = Collector::start();
    let mut server = Server::loopback().traced_to(&collector.endpoint).env("DALSTON_LOOPBACK", SLOW).start();
    let id = traced_form().submit(&server);
    let job = server.ended(&id);
    assert_eq!((&job["status"], &job["trace_id"]), (&"completed".into(), &TRACE.into()), "{job}");
    assert!(server.stop().success());

    let traces = trace::by_trace(collector.spans());
    let trace = traces.iter().find(|trace| hex(&trace.spans[0].span.trace_id) == TRACE).expect("the client's trace");
    assert_eq!(trace.tree(), EXPECTED);
    let root = trace.only(&format!("POST {PATH}"));
    assert_eq!(hex(&root.span.parent_span_id), PARENT);
    assert_eq!(trace.orphans(Some(&root.span.parent_span_id)), Vec::<&str>::new());
    for received in &trace.spans {
        let (service, name, attributes) = (&received.service, &received.span.name, received.attributes());
        let has = |key: &str, value: &str| attributes.get(key).is_some_and(|found| found == value);
        let is_behind = service == "dalston-orchestrator" || service.starts_with("dalston-engine-");
        assert!(has("dalston.job_id", &id), "{service} {name}: {attributes:?}");
        assert!(!is_behind || has("dalston.request_id", "ticket-4711"), "{service} {name}: {attributes:?}");
    }
    let upload = trace.only("upload_to_s3").attributes();
    assert_eq!((&*upload["dalston.storage.backend"], &*upload["dalston.request_id"]), ("local", "ticket-4711"));
    // Every hop over a queue says which, under the conventions.
    for (name, operation, queue) in [
        ("publish_job_created_event", "send", "orchestrator"),
        ("engine.prepare.process", "process", "engine.prepare"),
        ("engine.loopback.process", "process", "engine.loopback"),
    ] {
        let attributes = trace.only(name).attributes();
        let found =
            ["system", "operation.type", "destination.name"].map(|key| &*attributes[&format!("messaging.{key}")]);
        assert_eq!(found, ["dalston", operation, queue], "{name}");
    }
    let schedules = trace.named("orchestrator.schedule_task");
    let queues: Vec<_> = schedules.iter().map(|span| span.attributes()["messaging.destination.name"].clone()).collect();
    assert!(queues.contains(&"engine.prepare".into()) && queues.contains(&"engine.loopback".into()), "{queues:?}");

    // Its end is written within this span.
    let end = trace.only("orchestrator.mark_job_completed").span.end_time_unix_nano;
    let seconds = |from: u64, to: u64| (to - from) as f64 / 1e9;
    let took = seconds(trace.only("gateway.create_job").span.start_time_unix_nano, end);
    let stages = ["engine.prepare.process", "engine.loopback.process"].map(|name| {
        let stage = trace.only(name);
        let waited: f64 = stage.attributes()["dalston.queue_wait_seconds"].parse().expect("a number");
        waited + seconds(stage.span.start_time_unix_nano, stage.span.end_time_unix_nano)
    });
    let accounted: f64 = stages.iter().sum();
    println!("{took:.3} s from acceptance to the end: {stages:?} and {:.1} ms between them", (took - accounted) * 1e3);
    assert!(took > 2.0 && (took - accounted).abs() <= 0.05 * took, "{accounted} of {took} s: {stages:?}");
    // The API tells the same times.
    for (stage, shown) in stages.iter().zip(job["stages"].as_array().expect("a list")) {
        let number = |field: &str| shown[field].as_f64().expect("a number");
        let shown = number("wait_seconds") + number("duration_seconds");
        assert!((stage - shown).abs() < 0.05 + 0.05 * took, "{shown} s and {stage} s");
    }
}

#[test]
fn without_tracing_the_result_is_the_same_and_no_trace_is_kept() {
    let collector = Collector::start();
    let traced = Server::loopback().traced_to(&collector.endpoint).start();
    let with = traced.ended(&traced_form().submit(&traced));
    assert!(is_in(traced.folder(), TRACE), "the trace of a job is kept with it");

    let server = Server::loopback().start();
    let form = traced_form();
    let without = server.ended(&form.submit(&server));
    assert_eq!((&without["status"], &without["trace_id"]), (&"completed".into(), &Value::Null), "{without}");
    assert_eq!(without["transcript"], with["transcript"]);
    assert!(!is_in(server.folder(), TRACE), "a trace that nobody records is kept");
    assert!(!server.log().contains("trace_id"), "{}", server.log());
}

/// Whether the database in a data folder has this in it.
fn is_in(folder: &Path, text: &str) -> bool {
    ["jobs.db", "jobs.db-wal"].iter().any(|name| {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}
