//! JB1, JB5, JB6: files become transcripts, as a client of the API sees it.

use std::time::Instant;

use dalston_tests::{
    Server,
    jobs::{Form, PATH},
    speech::DEMO_TEXT,
    words,
};
use serde_json::Value;

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().expect("a list").iter().map(|item| item[field].as_str().expect("a text")).collect()
}

/// The lines of subtitles that are text, cue after cue.
fn cues(subtitles: &str) -> Vec<String> {
    let blocks = subtitles.split("\n\n").filter_map(|block| block.split_once(" --> "));
    blocks.map(|(_, rest)| rest.lines().skip(1).collect::<Vec<_>>().join(" ")).collect()
}

/// Seconds since a time of day that was shown by the same clock.
fn seconds(from: &Value, to: &Value) -> f64 {
    let millis = |time: &Value| {
        let (_, clock) = time.as_str().and_then(|text| text.trim_end_matches('Z').split_once('T')).expect("RFC 3339");
        clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
    };
    // Midnight may lie between them.
    (millis(to) - millis(from)).rem_euclid(86_400.0)
}

#[test]
fn a_recording_becomes_its_words_in_every_form_and_its_stages_account_for_its_time() {
    let server = Server::with_engine("pocketsphinx").start();
    let id = Form::demo().field("timestamps_granularity", "word").submit(&server);
    let job = server.ended(&id);
    assert_eq!(job["status"], "completed", "{job}");
    let transcript = &job["transcript"];
    let text = transcript["text"].as_str().expect("a text");
    let wrong = words::error_rate(DEMO_TEXT, text);
    assert!(wrong <= 0.1, "{wrong:.3} of the words are wrong: {text}");

    let segments = texts(&transcript["segments"], "text");
    assert_eq!(segments.join(" "), text);
    let mut time = 0.0;
    for segment in transcript["segments"].as_array().expect("a list") {
        assert_eq!(texts(&segment["words"], "text").join(" "), segment["text"].as_str().expect("a text"));
        for word in segment["words"].as_array().expect("a list") {
            let (start, end) = (word["start"].as_f64().expect("a time"), word["end"].as_f64().expect("a time"));
            assert!(time <= start && start < end, "{word} after {time}");
            time = end;
        }
    }
    assert!(time <= transcript["duration"].as_f64().expect("a length"));

    let export = |format: &str| {
        let answer = server.ask("GET", &id, &format!("/export/{format}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    };
    assert_eq!(export("json").json(), *transcript);
    assert_eq!(export("txt").body.split_whitespace().collect::<Vec<_>>().join(" "), text);
    assert_eq!(cues(&export("srt").body), segments);
    assert_eq!(cues(&export("vtt").body), segments);
    assert!(export("vtt").body.starts_with("WEBVTT\n"));

    let tasks = server.tasks(&id);
    let nodes: Vec<&str> = tasks.iter().map(|task| task["node"].as_str().expect("a name")).collect();
    assert_eq!(nodes, ["prepare", "transcribe"]);
    for task in &tasks {
        assert_eq!((&task["status"], &task["attempts"], &task["crashes"]), (&"completed".into(), &1.into(), &0.into()));
    }
    assert_eq!(tasks[1]["depends_on"], serde_json::json!(["prepare"]));
    assert!(tasks[0]["completed_at"].as_str() <= tasks[1]["started_at"].as_str(), "{tasks:?}");

    let took = seconds(&job["created_at"], &job["completed_at"]);
    let stages = job["stages"].as_array().expect("a list");
    let time = |stage: &Value| {
        stage["wait_seconds"].as_f64().unwrap_or(0.0) + stage["duration_seconds"].as_f64().unwrap_or(0.0)
    };
    let accounted: f64 = stages.iter().map(time).sum();
    println!("the job took {took:.3} s, of which its stages account for {accounted:.3} s");
    assert!((took - accounted).abs() <= took * 0.05, "{accounted} of {took} s: {stages:?}");
}

#[test]
fn a_job_that_is_cancelled_while_it_runs_stays_cancelled_and_can_be_deleted() {
    let server = Server::loopback().env("DALSTON_LOOPBACK", "delay=1s").start();
    let id = Form::demo().submit(&server);
    server.begins(&id, "transcribe");
    let refused = server.ask("DELETE", &id, "");
    assert_eq!((refused.status, refused.code().as_str()), (409, "wrong_status"));

    let asked = Instant::now();
    let answer = server.ask("POST", &id, "/cancel");
    assert_eq!(answer.json()["status"], "cancelling", "{}", answer.body);
    let job = server.ended(&id);
    assert_eq!(job["status"], "cancelled", "{job}");
    let took = asked.elapsed();
    assert!(took.as_secs() < 10, "an engine that has the task was told after {took:?}");
    assert_eq!(server.task(&id, "transcribe").expect("it was there")["status"], "cancelled");

    assert_eq!(server.ask("POST", &id, "/cancel").json()["status"], "cancelled", "to be late is no error");
    assert_eq!(server.ask("POST", &id, "/retry").status, 409);
    assert_eq!(server.ask("GET", &id, "/export/txt").code(), "wrong_status");
    assert_eq!(server.ask("DELETE", &id, "").status, 204);
    assert_eq!(server.ask("GET", &id, "").status, 404);
    let left = server.folder().join("artifacts/jobs").join(&id);
    assert!(!left.exists(), "{} is left of a job that was deleted", left.display());
}

#[test]
fn a_file_that_cannot_be_read_is_tried_once_is_listed_and_stays_unreadable_when_it_is_tried_again() {
    let server = Server::loopback().expect("an attempt at a task failed").start();
    let bad = Form::file("not.wav", b"no recording at all").submit(&server);
    let job = server.ended(&bad);
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"unsupported_audio".into()), "{job}");
    assert_eq!(job["error"]["stage"], "prepare");
    assert_eq!(server.task(&bad, "prepare").expect("it was there")["attempts"], 1);
    let dead = server.get(&format!("{PATH}/dead")).json();
    assert_eq!(dead["items"][0]["job_id"], bad, "{dead}");

    let answer = server.ask("POST", &bad, "/retry");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &"running".into()), "{}", answer.body);
    let again = server.ended(&bad);
    assert_eq!(again["error"], job["error"], "the file is what it was");
    assert_eq!(server.task(&bad, "prepare").expect("it was there")["attempts"], 2);
}

#[test]
fn one_key_gives_one_job_and_another_file_under_it_is_refused() {
    let server = Server::loopback().start();
    let form = Form::demo().header("Idempotency-Key", "order-4711");
    let first = form.post(&server).expect("the server answers");
    let second = form.post(&server).expect("the server answers");
    assert_eq!((first.status, second.status), (201, 200), "{}", second.body);
    assert_eq!(first.json()["id"], second.json()["id"]);
    let other = Form::file("other.wav", b"another file").header("Idempotency-Key", "order-4711");
    let other = other.post(&server).expect("the server answers");
    assert_eq!((other.status, other.code().as_str()), (409, "idempotency_conflict"));

    let job = server.ended(first.json()["id"].as_str().expect("an id"));
    assert_eq!(job["status"], "completed", "{job}");
    let listed = server.get(PATH).json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let left = std::fs::read_dir(server.folder().join("artifacts/jobs")).expect("a folder").count();
    assert_eq!(left, 1, "uploads of requests that made no job are left");
}

#[test]
fn a_list_comes_in_pages_newest_first_and_by_status() {
    let server = Server::loopback().start();
    let ids: Vec<String> = (0..5).map(|_| Form::demo().submit(&server)).collect();
    for id in &ids {
        assert_eq!(server.ended(id)["status"], "completed");
    }
    let mut listed = Vec::new();
    let mut next = format!("{PATH}?status=completed&limit=2");
    loop {
        let page = server.get(&next).json();
        listed.extend(texts(&page["items"], "id").into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{PATH}?status=completed&limit=2&cursor={cursor}");
    }
    listed.reverse();
    assert_eq!(listed, ids);
    assert_eq!(server.get(&format!("{PATH}?status=failed")).json()["items"].as_array().map(Vec::len), Some(0));
}
