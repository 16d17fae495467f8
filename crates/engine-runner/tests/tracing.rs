//! What an attempt leaves in the trace of its job, and in the log.

mod support;

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dalston_engine_sdk::batch::{TaskError, TaskOutput};
use dalston_store::{NewTask, Started, engine_queue};
use dalston_telemetry::SpanRecord;
use serde_json::json;
use support::{Does, SOON, UPLOAD, World, done, task};

const SCHEDULED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

impl World {
    /// The spans of the trace that a job was scheduled in.
    fn spans(&self) -> Vec<SpanRecord> {
        self.ring.get("4bf92f3577b34da6a3ce929d0e0e4736").expect("the trace was recorded")
    }
}

/// Name, kind and status of the children of a span, as they began.
fn children<'a>(spans: &'a [SpanRecord], parent: &str) -> Vec<(&'a str, &'a str, &'a str)> {
    let mut below: Vec<_> = spans.iter().filter(|span| span.parent_span_id.as_deref() == Some(parent)).collect();
    below.sort_by_key(|span| span.start_unix_nanos);
    below.iter().map(|span| (span.name.as_str(), span.kind.as_str(), span.status.as_str())).collect()
}

fn attributes(span: &SpanRecord, keys: &[&str]) -> serde_json::Value {
    keys.iter().map(|key| span.attributes.get(*key).cloned().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_a_span_with_its_three_steps() {
    let world = World::new().await;
    let sent = Arc::new(Mutex::new(None));
    let sends = sent.clone();
    let running = world.run(Does::new("echo", move |_, ctx| {
        *sends.lock().unwrap() = ctx.traceparent();
        TaskOutput::of(&json!({}))
    }));
    let new = task("echo", "prepare", &[]);
    let id = new.id.clone();
    let job = world.traced_job(vec![new], Some(SCHEDULED.into())).await;
    world.completed(&job, &id).await;
    running.stop().await;

    let spans = world.spans();
    assert_eq!(spans.len(), 4, "{spans:?}");
    assert_eq!(children(&spans, "00f067aa0ba902b7"), [("engine.echo.process", "consumer", "unset")]);
    let process = spans.iter().find(|span| span.kind == "consumer").expect("it is there");
    let steps = ["download_input", "prepare", "upload_output"].map(|step| (step, "internal", "unset"));
    assert_eq!(children(&spans, &process.span_id), steps);
    for span in &spans {
        assert_eq!(span.service, "dalston-engine-prepare");
        let keys = ["job_id", "task_id", "request_id", "engine_id", "stage", "attempt"];
        let keys = keys.map(|key| format!("dalston.{key}"));
        let found = attributes(span, &keys.each_ref().map(String::as_str));
        assert_eq!(found, json!([job.as_str(), id.as_str(), "req_7", "echo", "prepare", 1]), "{}", span.name);
    }
    let own = ["dalston.outcome", "messaging.system", "messaging.destination.name", "messaging.operation.type"];
    assert_eq!(attributes(process, &own), json!(["completed", "dalston", "engine.echo", "process"]));
    assert!(process.attributes["dalston.queue_wait_seconds"].as_f64().is_some_and(|waited| waited >= 0.0));
    let download = spans.iter().find(|span| span.name == "download_input").expect("it is there");
    assert_eq!(download.attributes["dalston.artifact.bytes"], json!(UPLOAD.len()));
    let step = spans.iter().find(|span| span.name == "prepare").expect("it is there");
    assert!(sent.lock().unwrap().as_ref().is_some_and(|sent| sent.contains(&step.span_id)), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_is_linked_to_the_first() {
    let world = World::new().await;
    let first = AtomicBool::new(true);
    let running = world.run(Does::new("echo", move |_, _| match first.swap(false, Ordering::SeqCst) {
        true => Err(TaskError::failed("not now")),
        false => done(),
    }));
    let new = task("echo", "prepare", &[]);
    let id = new.id.clone();
    let job = world.traced_job(vec![new], Some(SCHEDULED.into())).await;
    world.completed(&job, &id).await;
    running.stop().await;

    let spans = world.spans();
    let attempts: Vec<_> = spans.iter().filter(|span| span.kind == "consumer").collect();
    let [first, second] = attempts[..] else { panic!("{attempts:?}") };
    assert_eq!((first.status.as_str(), second.status.as_str()), ("error", "unset"));
    assert_eq!(first.parent_span_id, second.parent_span_id);
    assert_eq!(first.links, []);
    assert_eq!(second.links.iter().map(|link| &link.span_id).collect::<Vec<_>>(), [&first.span_id]);
    let failed = spans.iter().find(|span| span.name == "prepare" && span.status == "error").expect("it failed");
    assert_eq!(failed.attributes["error.type"], "engine_failed");
    assert!(!format!("{spans:?}").contains("not now"), "what an engine says is for the job's owner");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_linked_to_the_first_also_when_its_runner_was_killed() {
    let world = World::new().await;
    let new = task("echo", "prepare", &[]);
    let id = new.id.clone();
    let job = world.traced_job(vec![new], Some(SCHEDULED.into())).await;
    let (queues, lease) = ([engine_queue("echo")], Duration::from_millis(50));
    // Another process has it, and is gone without a word.
    let claimed = world.broker.claim(&queues, "killed", lease, SOON).await.expect("the broker answers");
    assert!(claimed.is_some(), "it was published");
    let first = "00-4bf92f3577b34da6a3ce929d0e0e4736-aaaaaaaaaaaaaaaa-01";
    let begun = world.store.start_in(&id, "killed", false, |_| Some(first.to_owned())).await.expect("it answers");
    assert!(matches!(begun, Started::Run(_)), "{begun:?}");

    let running = world.run(Does::new("echo", |_, _| done()));
    let record = world.completed(&job, &id).await;
    running.stop().await;
    assert_eq!((record.attempt, record.first_attempt.as_deref()), (2, Some(first)));
    let spans = world.spans();
    let second = spans.iter().find(|span| span.kind == "consumer").expect("it is there");
    let links: Vec<&str> = second.links.iter().map(|link| link.span_id.as_str()).collect();
    assert_eq!(links, ["aaaaaaaaaaaaaaaa"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_span_of_its_stage() {
    let world = World::new().await;
    let running = world.run(Does::new("echo", |_, _| panic!("on purpose")));
    let new = NewTask { max_attempts: 1, ..task("echo", "prepare", &[]) };
    let id = new.id.clone();
    let job = world.traced_job(vec![new], Some(SCHEDULED.into())).await;
    world.ended(&job, &id).await;
    running.stop().await;
    let spans = world.spans();
    let step = spans.iter().find(|span| span.name == "prepare").expect("it is there");
    assert_eq!((step.status.as_str(), &step.attributes["error.type"]), ("error", &json!("engine_panicked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tracing_an_engine_has_nothing_to_send_along() {
    let mut world = World::new().await;
    world.tracers = dalston_telemetry::Tracers::off();
    let running = world.run(Does::new("echo", |_, ctx| {
        assert_eq!(ctx.traceparent(), None);
        done()
    }));
    let (job, id) = world.task("echo").await;
    world.completed(&job, &id).await;
    running.stop().await;
}

/// What was logged, by all tests of this program.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_name_job_task_and_request_the_engines_too() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
    let world = World::new().await;
    let running = world.run(Does::new("echo", |_, _| {
        tracing::info!("the engine says something");
        done()
    }));
    let (job, id) = world.task("echo").await;
    world.completed(&job, &id).await;
    running.stop().await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for event in ["the engine says something", "an attempt at a task has ended"] {
        let mut lines = log.lines().filter(|line| line.contains(event));
        let line =
            lines.find(|line| line.contains(job.as_str())).unwrap_or_else(|| panic!("no line {event:?} in {log}"));
        assert!(line.contains(id.as_str()) && line.contains("\"request_id\":\"req_7\""), "{line}");
    }
}
