//! A job whose engine says what was said, but not when, gets the times of its words by a stage of its own.

use dalston_tests::{
    Collector, Server,
    jobs::{Form, wav},
    trace,
};
use serde_json::Value;

/// The engine that makes up words has no times for them; the one that can align runs beside it.
fn server(collector: &Collector) -> Server {
    Server::with_engine("loopback,pocketsphinx")
        .env("DALSTON_LOOPBACK", "word_times=no")
        .traced_to(&collector.endpoint)
        .start()
}

/// Names of the job's spans in the aligner's lane.
fn align_spans(collector: &Collector, id: &str) -> Vec<String> {
    let traces = trace::by_trace(collector.spans());
    let spans = traces.iter().flat_map(|trace| &trace.spans);
    let aligning = spans.filter(|received| {
        received.service == "dalston-engine-align"
            && received.attributes().get("dalston.job_id").is_some_and(|found| found == id)
    });
    aligning.map(|received| received.span.name.clone()).collect()
}

#[test]
fn words_without_times_are_aligned_in_a_stage_of_the_jobs_trace() {
    let collector = Collector::start();
    let mut server = server(&collector);
    let form = || Form::demo().field("model", "loopback").field("language", "en");
    let id = form().field("timestamps_granularity", "word").submit(&server);
    let job = server.ended(&id);
    assert_eq!(job["status"], "completed", "{job}");
    let segments = job["transcript"]["segments"].as_array().expect("segments");
    assert!(!segments.is_empty(), "{job}");
    for segment in segments {
        let words = segment["words"].as_array().expect("words");
        let text: Vec<&str> = words.iter().filter_map(|word| word["text"].as_str()).collect();
        assert_eq!(text.join(" "), segment["text"].as_str().unwrap_or_default());
        // Nobody said these words, and the transcript says so of their times.
        assert_eq!(segment["words_estimated"], true, "{segment}");
        let times: Vec<f64> =
            words.iter().flat_map(|word| [&word["start"], &word["end"]]).filter_map(Value::as_f64).collect();
        assert!(times.is_sorted() && times.len() == 2 * words.len(), "{segment}");
    }
    assert_eq!(server.task(&id, "align").map(|task| task["status"].clone()), Some("completed".into()));

    // Whoever wants no words waits for none.
    let without = form().submit(&server);
    assert_eq!(server.ended(&without)["status"], "completed");
    assert_eq!(server.task(&without, "align"), None);
    // And silence has none.
    let silence = Form::file("silence.wav", &wav(&[0; 64_000]));
    let silence = silence.field("model", "loopback").field("timestamps_granularity", "word").submit(&server);
    assert_eq!(server.ended(&silence)["transcript"]["text"], "");
    assert!(server.stop().success());

    let mut names = align_spans(&collector, &id);
    names.sort();
    assert_eq!(names, ["align", "download_input", "engine.align.process", "upload_output"]);
}
