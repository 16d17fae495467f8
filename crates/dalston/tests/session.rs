//! A server and a client of the built binary, with the engine that makes up words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;
use support::{Ended, Home, Server};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/demo.wav");

fn stream(home: &Home, server: &Server, args: &[&str]) -> Ended {
    home.run(&[&["stream", DEMO, "--pace", "0", "--url", &server.url], args].concat())
}

#[test]
fn a_pipe_gets_the_finals_as_plain_lines() {
    let home = Home::new();
    let server = home.serve(&[]);
    let out = stream(&home, &server, &["--fail-if-empty"]).succeeded().out;
    assert_eq!(out.lines().count(), 4, "the demo has four sentences: {out}");
    assert!(!out.contains('\x1b') && !out.contains('…'), "{out}");
}

#[test]
fn partials_are_shown_on_request() {
    let home = Home::new();
    let server = home.serve(&[]);
    let out = stream(&home, &server, &["--partials"]).succeeded().out;
    assert!(out.lines().filter(|line| line.ends_with('…')).count() > 4, "{out}");
}

#[test]
fn json_is_the_events_of_the_session() {
    let home = Home::new();
    let server = home.serve(&[]);
    let out = stream(&home, &server, &["--output", "json", "--word-timestamps"]).succeeded().out;
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["type"], "session.begin");
    let last = events.last().unwrap();
    assert_eq!(last["type"], "session.end");
    assert_eq!(last["total_audio_seconds"], 17.8);
    let finals: Vec<&Value> = events.iter().filter(|event| event["type"] == "transcript.final").collect();
    assert!(finals.iter().all(|heard| !heard["words"].as_array().unwrap().is_empty()), "{out}");
}

#[test]
fn subtitles_come_at_the_end() {
    let home = Home::new();
    let server = home.serve(&[]);
    let out = stream(&home, &server, &["--output", "srt"]).succeeded().out;
    assert!(out.starts_with("1\n00:00:0"), "{out}");
    assert!(out.contains(" --> "), "{out}");
}

#[test]
fn what_was_lost_is_shown_where_it_was_lost_and_fails_the_run() {
    let home = Home::new();
    let file = home.path("dalston.toml");
    fs::write(&file, "engine.loopback = \"error_every=2\"\n").unwrap();
    let server = home.serve(&["--config", &file]);
    for output in ["text", "srt"] {
        let ended = stream(&home, &server, &["--output", output]);
        ended.failed_with(&["error: ", "(engine_failed)", "the transcript has 2 gaps"]);
        assert!(!ended.out.is_empty(), "what was not lost is not shown as {output}");
    }
    stream(&home, &server, &["--output", "json"]).failed_with(&["the transcript has 2 gaps"]);
}

#[test]
fn the_trace_of_the_session_has_its_three_lanes() {
    let home = Home::new();
    let server = home.serve(&[]);
    let out = stream(&home, &server, &["--trace"]).succeeded().out;
    for name in ["dalston-gateway", "session_router.allocate", "dalston-realtime", "realtime.session_close"] {
        assert!(out.contains(name), "{name} is not in: {out}");
    }
    let trace_id = out.lines().find_map(|line| line.strip_prefix("trace ")).unwrap().split(' ').next().unwrap();
    let json = home.run(&["trace", trace_id, "--url", &server.url, "--output", "json"]).succeeded().out;
    assert!(serde_json::from_str::<Vec<Value>>(&json).unwrap().len() > 4);
    let listed: Vec<Value> = serde_json::from_str(&json).unwrap();
    let session = listed.iter().find_map(|span| span["attributes"]["session.id"].as_str()).unwrap();
    let same = home.run(&["trace", session, "--url", &server.url]).succeeded().out;
    assert!(same.starts_with(&format!("trace {trace_id}")), "a session is found though it was not kept: {same}");
    let none = home.run(&["trace", &"0".repeat(32), "--url", &server.url]);
    none.failed_with(&["no span of this trace is here"]);
}

#[test]
fn audio_from_a_pipe_is_the_same_as_from_its_file() {
    let home = Home::new();
    let server = home.serve(&[]);
    let wav = fs::read(DEMO).unwrap();
    let piped = |bytes: Vec<u8>, args: &[&str]| {
        let args = [&["stream", "-", "--url", &server.url], args].concat();
        let mut command = home.dalston(&args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // Beside the reading of the output, or both could wait for each other.
        let writer = thread::spawn(move || input.write_all(&bytes).unwrap());
        let ended = Ended::from(child.wait_with_output().unwrap()).succeeded();
        writer.join().unwrap();
        ended.out
    };
    let of_file = stream(&home, &server, &[]).succeeded().out;
    assert_eq!(piped(wav.clone(), &[]), of_file, "WAV");
    assert_eq!(piped(wav[44..].to_vec(), &["--encoding", "pcm_s16le", "--sample-rate", "16000"]), of_file, "raw");
}

#[test]
fn a_key_that_was_made_lets_in_and_nothing_else_does() {
    let home = Home::new();
    let made = home.run(&["keys", "create", "--name", "laptop", "--scope", "realtime"]).succeeded().out;
    let (key, table) = made.split_once('\n').unwrap();
    let file = home.path("dalston.toml");
    fs::write(&file, table).unwrap();
    let server = home.serve(&["--config", &file]);
    assert!(server.book.contains("on, 1 key\n"), "{}", server.book);

    stream(&home, &server, &[]).failed_with(&["4401 (unauthorized)", "an API key is needed"]);
    stream(&home, &server, &["--api-key", "dal_0_0"]).failed_with(&["4401"]);
    stream(&home, &server, &["--api-key", key, "--fail-if-empty", "--trace"]).succeeded();
    server.signal("TERM");
    let (code, log) = server.end();
    assert_eq!(code, Some(0));
    assert!(!log.contains(key.rsplit_once('_').unwrap().1), "a key is in the log");
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    let home = Home::new();
    let server = home.serve(&[]);
    home.run(&["stream", "/nonexistent.wav"]).failed_with(&["/nonexistent.wav: No such file"]);
    home.run(&["stream", "/etc/hostname"]).failed_with(&["is not a WAV file", "--encoding"]);
    home.run(&["stream", DEMO, "--url", "http://127.0.0.1:1"]).failed_with(&["nothing listens", "dalston serve"]);
    stream(&home, &server, &["--model", "nonsense"]).failed_with(&["4404 (not_found)", "nonsense"]);
    stream(&home, &server, &["--endpointing-ms", "1"]).failed_with(&["4400 (bad_request)", "endpointing_ms=1"]);
}

#[test]
fn a_session_is_kept_when_asked_for_and_only_then() {
    let home = Home::new();
    let data = home.path("data");
    let server = home.serve(&["--data-dir", &data]);
    stream(&home, &server, &[]).succeeded();
    stream(&home, &server, &["--retention", "7", "--store-audio"]).succeeded();
    server.signal("TERM");
    assert_eq!(server.end().0, Some(0));
    let found = Command::new("find").args([&data, "-name", "*.wav"]).output().unwrap();
    let audio = String::from_utf8(found.stdout).unwrap();
    assert_eq!(audio.lines().count(), 1, "{audio}");
}

#[test]
fn silence_is_no_error_unless_words_were_expected() {
    let home = Home::new();
    let server = home.serve(&[]);
    let silence = home.path("silence.raw");
    fs::write(&silence, vec![0; 64_000]).unwrap();
    let args = |more: &[&'static str]| {
        let base = ["stream", &silence, "--encoding", "pcm_s16le", "--pace", "0", "--url", &server.url];
        home.run(&[&base[..], more].concat())
    };
    assert_eq!(args(&[]).succeeded().out, "");
    args(&["--fail-if-empty"]).failed_with(&["no word was recognised"]);
}

#[test]
fn a_first_signal_drains_and_the_server_ends_well() {
    for signal in ["TERM", "INT"] {
        let home = Home::new();
        let server = home.serve(&[]);
        server.signal(signal);
        assert_eq!(server.end().0, Some(0), "{signal}");
    }
}

#[test]
fn a_second_signal_ends_a_server_that_still_drains() {
    let home = Home::new();
    let file = home.path("dalston.toml");
    fs::write(&file, "engine.loopback = \"stall_every=1\"\n").unwrap();
    let mut server = home.serve(&["--config", &file]);
    let mut command = home.dalston(&["stream", DEMO, "--output", "json", "--url", &server.url]);
    let mut client = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = BufReader::new(client.stdout.take().unwrap()).lines();
    let is_speech = |line: std::io::Result<String>| line.unwrap().contains("vad.speech_start");
    assert!(events.any(is_speech), "the engine has an utterance that it will never finish");

    server.signal("TERM");
    server.logs("draining");
    server.signal("TERM");
    assert_eq!(server.end().0, Some(143));
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn ctrl_c_in_the_client_still_answers_what_was_said() {
    let home = Home::new();
    let server = home.serve(&[]);
    let mut command = home.dalston(&["stream", DEMO, "--pace", "1", "--partials", "--url", &server.url]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut heard = String::new();
    // The first partial: audio is flowing, and none of it is final yet.
    out.read_line(&mut heard).unwrap();
    assert!(heard.trim_end().ends_with('…'), "{heard}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    out.read_to_string(&mut heard).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(heard.lines().filter(|line| !line.ends_with('…')).count(), 1, "{heard}");
}

#[test]
fn a_server_serves_on_when_nobody_reads_what_it_prints() {
    let home = Home::new();
    let args = ["serve", "--bind", "127.0.0.1:0", "--engine", "loopback"];
    let mut command = home.dalston(&args);
    let mut server = command.env("LOG_FORMAT", "json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(server.stdout.take());
    let log = BufReader::new(server.stderr.take().unwrap());
    let ready = log.lines().map(|line| line.unwrap()).find(|line| line.contains("\"ready\"")).unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    let url = format!("http://{}", ready["address"].as_str().unwrap());
    let health = home.run(&["health", "--url", &url]);
    server.kill().unwrap();
    server.wait().unwrap();
    health.succeeded();
}
