//! One server that recognises with another: the same words, and one trace through both.

use std::time::Duration;

use dalston_engine_remote::{Remote, Settings};
use dalston_engine_sdk::{
    StreamOptions,
    conformance::{CLAIMS, Subject},
};
use dalston_protocol::realtime::{ServerMessage, SessionConfig};
use dalston_telemetry::Tracers;
use dalston_tests::{
    Collector, Server,
    collector::Received,
    jobs::{Form, PATH},
    server::Builder,
    session, speech, trace,
};
use serde_json::Value;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn url(server: &Server) -> String {
    format!("http://{}/v1", server.address())
}

/// A server that asks this one.
fn asking(server: &Server, engines: &str) -> Builder {
    Server::with_engine(engines).env("DALSTON_REMOTE_URL", url(server)).env("DALSTON_REMOTE_MODEL", "loopback")
}

fn form() -> Form {
    Form::demo().field("timestamps_granularity", "word")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text, start and end of each word.
fn words(job: &Value) -> Vec<(String, f64, f64)> {
    let segments = job["transcript"]["segments"].as_array().expect("a list");
    let words = segments.iter().flat_map(|segment| segment["words"].as_array().expect("words"));
    let time = |word: &Value, field: &str| word[field].as_f64().expect("a time");
    let text = |word: &Value| word["text"].as_str().expect("a text").to_owned();
    words.map(|word| (text(word), time(word, "start"), time(word, "end"))).collect()
}

#[test]
fn a_file_has_the_words_of_the_server_behind_and_one_trace_through_both() {
    let collector = Collector::start();
    let mut behind = Server::loopback().traced_to(&collector.endpoint).start();
    let mut before = asking(&behind, "remote").traced_to(&collector.endpoint).start();

    let direct = behind.ended(&form().submit(&behind));
    let traced = form()
        .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
        .header("X-Request-ID", "ticket-4711")
        .submit(&before);
    let job = before.ended(&traced);
    assert_eq!(
        (&job["status"], &job["transcript"]["model"]),
        (&"completed".into(), &"remote/loopback".into()),
        "{job}"
    );
    let (expected, found) = (words(&direct), words(&job));
    assert!(expected.len() > 20);
    assert_eq!(found.len(), expected.len());
    for (a, b) in expected.iter().zip(&found) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 0.01 && (a.2 - b.2).abs() < 0.01, "{a:?} and {b:?}");
    }
    assert!(before.stop().success() && behind.stop().success());

    let traces = trace::by_trace(collector.spans());
    let trace = traces.iter().find(|trace| hex(&trace.spans[0].span.trace_id) == TRACE).expect("the client's trace");
    let is_child = |child: &Received, parent: &Received| child.span.parent_span_id == parent.span.span_id;
    let call = trace.only("POST");
    assert_eq!(call.service, "dalston-engine-transcribe");
    let process = trace.only("engine.remote.process");
    let stages = trace.named("transcribe");
    let stage = stages.iter().find(|stage| is_child(stage, process)).expect("the stage before");
    assert!(is_child(call, stage), "{}", trace.tree());
    let roots = trace.named(&format!("POST {PATH}"));
    let root = roots.iter().find(|root| is_child(root, call)).expect("the server behind goes on with the trace");
    assert_eq!(root.attributes().get("dalston.request_id").map(String::as_str), Some("ticket-4711"));
    assert_eq!(trace.named("engine.loopback.process").len(), 1, "{}", trace.tree());
    let first = roots.iter().find(|root| hex(&root.span.parent_span_id) == PARENT).expect("the first server");
    assert_eq!(trace.orphans(Some(&first.span.parent_span_id)), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_has_its_finals_from_there_in_its_own_trace() {
    let collector = Collector::start();
    let mut behind = Server::loopback().traced_to(&collector.endpoint).start();
    let mut before = asking(&behind, "remote").traced_to(&collector.endpoint).start();
    let client = before.client(SessionConfig { interim_results: true, ..SessionConfig::default() });
    let heard = session::stream(&client, speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert!(heard.finals().len() >= 3 && heard.finals().iter().all(|said| !said.text.is_empty()), "{heard:?}");
    assert!(!heard.events.iter().any(|event| matches!(event, ServerMessage::Partial { .. })), "{heard:?}");
    let trace_id = heard.begin().1.expect("it is traced").to_owned();
    assert!(before.stop().success() && behind.stop().success());

    let traces = trace::by_trace(collector.spans());
    let trace =
        traces.iter().find(|trace| hex(&trace.spans[0].span.trace_id) == trace_id).expect("the session's trace");
    let session = trace.only("realtime.session");
    let calls = trace.named("POST");
    assert_eq!(calls.len(), heard.finals().len(), "{}", trace.tree());
    assert!(calls.iter().all(|call| call.span.parent_span_id == session.span.span_id), "{}", trace.tree());
    assert_eq!(trace.named(&format!("POST {PATH}")).len(), calls.len(), "{}", trace.tree());
    assert_eq!(trace.orphans(None), Vec::<&str>::new());
}

#[test]
fn of_several_engines_the_first_serves_who_names_none_and_a_name_chooses() {
    let behind = Server::loopback().start();
    let server = asking(&behind, "loopback,remote").start();
    let models = server.get("/v1/models");
    assert!(models.body.contains("loopback") && models.body.contains("remote"), "{}", models.body);
    for (model, full) in [
        (None, "loopback/words-from-voiced-time"),
        (Some("loopback"), "loopback/words-from-voiced-time"),
        (Some("remote"), "remote/loopback"),
        (Some("remote/loopback"), "remote/loopback"),
    ] {
        let form = model.map_or_else(form, |model| form().field("model", model));
        let job = server.ended(&form.submit(&server));
        assert_eq!(job["transcript"]["model"], full, "{model:?}: {job}");
    }
}

#[test]
fn a_server_that_does_not_know_the_model_is_told_of_by_its_setting() {
    let behind = Server::loopback().start();
    let server = asking(&behind, "remote").env("DALSTON_REMOTE_MODEL", "gigantic").expect("task failed").start();
    let job = server.ended(&Form::demo().submit(&server));
    let error = &job["error"];
    assert_eq!((&job["status"], &error["code"]), (&"failed".into(), &"engine_misconfigured".into()), "{job}");
    assert!(error["message"].as_str().is_some_and(|told| told.contains("engine.remote.model")), "{job}");
    // It is no fault of the file.
    let answer = Form::demo().field("response_format", "json").post(&server).expect("the server answers");
    assert_eq!((answer.status, answer.code()), (500, "engine_misconfigured".to_owned()), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_what_every_engine_promises() {
    let behind = Server::loopback().start();
    let settings = Settings::new(url(&behind).parse().expect("a URL"), "loopback");
    let engine = Remote::new(settings, &Tracers::off()).expect("certificates can be read");
    let demo = speech::demo();
    let samples: Vec<i16> = demo.as_chunks::<2>().0.iter().map(|sample| i16::from_le_bytes(*sample)).collect();
    let (first, rest) = samples.split_at(5 * 16_000);
    let options = StreamOptions { language: "en".into(), ..StreamOptions::default() };
    let utterances = [first.to_vec(), rest[..5 * 16_000].to_vec()];
    let subject = Subject { engine: &engine, options, utterances };
    for (name, claim) in CLAIMS {
        println!("{name}");
        claim(&subject).await;
    }
}
