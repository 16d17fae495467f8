//! `dalston transcribe` and `dalston jobs` against the built binary, with the engine that makes up words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Ended, Home, Server};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/demo.wav");

fn transcribe(home: &Home, server: &Server, args: &[&str]) -> Ended {
    home.run(&[&["transcribe", "--url", &server.url], args].concat())
}

fn jobs(home: &Home, server: &Server, args: &[&str]) -> Ended {
    home.run(&[&["jobs"], args, &["--url", &server.url, "--output", "json"]].concat())
}

#[test]
fn a_file_becomes_text_subtitles_or_json() {
    let home = Home::new();
    let server = home.serve(&[]);
    let text = transcribe(&home, &server, &[DEMO]).succeeded();
    assert_eq!(text.out.lines().count(), 4, "the demo has four sentences: {}", text.out);
    assert_eq!(text.err, "", "nobody looks at bars that are no terminal");
    assert!(transcribe(&home, &server, &[DEMO, "-o", "srt"]).succeeded().out.starts_with("1\n00:00:0"));
    assert!(transcribe(&home, &server, &[DEMO, "-o", "vtt"]).succeeded().out.starts_with("WEBVTT\n\n"));
    let json = transcribe(&home, &server, &[DEMO, "-o", "json", "--word-timestamps"]).succeeded().out;
    let transcript: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&transcript["file"], transcript["duration"].as_f64()), (&DEMO.into(), Some(17.8)));
    assert!(!transcript["segments"][0]["words"].as_array().unwrap().is_empty(), "{json}");
}

#[test]
fn files_come_out_in_the_order_in_which_they_were_named_and_one_bad_file_fails_the_run() {
    let home = Home::new();
    let server = home.serve(&[]);
    let (bad, missing) = (home.path("bad.wav"), home.path("missing.wav"));
    fs::write(&bad, "this is not audio").unwrap();
    let ended = transcribe(&home, &server, &[&bad, DEMO, &missing, DEMO, "-o", "json"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    assert!(ended.err.contains("bad.wav") && ended.err.contains("unsupported_audio"), "{}", ended.err);
    assert!(ended.err.contains("cannot read") && ended.err.contains("missing.wav"), "{}", ended.err);
    transcribe(&home, &server, &[DEMO, DEMO, "-o", "srt"]).failed_with(&["--output-dir"]);
}

#[test]
fn a_folder_gets_a_file_for_each() {
    let home = Home::new();
    let server = home.serve(&[]);
    let (other, out) = (home.path("other.wav"), home.path("out"));
    fs::copy(DEMO, &other).unwrap();
    let ended = transcribe(&home, &server, &[DEMO, &other, "-o", "vtt", "--output-dir", &out]).succeeded();
    assert_eq!(ended.out, "");
    for name in ["demo.vtt", "other.vtt"] {
        assert!(fs::read_to_string(Path::new(&out).join(name)).unwrap().starts_with("WEBVTT"), "{name}");
    }
    transcribe(&home, &server, &[DEMO, DEMO, "--output-dir", &out]).succeeded();
    let read = |name: &str| fs::read_to_string(Path::new(&out).join(name)).unwrap();
    assert_eq!(read("demo.txt"), read("demo-2.txt"), "two of one name are written side by side");
}

#[test]
fn a_folder_is_refused_with_what_to_type() {
    let home = Home::new();
    let folder = home.path("recordings");
    fs::create_dir(&folder).unwrap();
    let ended = home.run(&["transcribe", &folder, "--url", "http://127.0.0.1:1"]);
    ended.failed_with(&["recordings is a folder", "recordings/*.wav"]);
}

#[test]
fn audio_from_standard_input_is_the_same_as_from_its_file() {
    let home = Home::new();
    let server = home.serve(&[]);
    let mut command = home.dalston(&["transcribe", "-", "--url", &server.url, "-o", "json"]);
    let piped = Ended::from(command.stdin(fs::File::open(DEMO).unwrap()).output().unwrap()).succeeded();
    let of_file = transcribe(&home, &server, &[DEMO, "-o", "json"]).succeeded();
    let text = |ended: &Ended| serde_json::from_str::<Value>(&ended.out).unwrap();
    assert_eq!(text(&piped)["text"], text(&of_file)["text"]);
    assert_eq!(text(&piped)["file"], "stdin");
}

#[test]
fn a_file_that_is_cut_off_is_transcribed_with_a_warning() {
    let home = Home::new();
    let server = home.serve(&[]);
    let half = home.path("half.wav");
    let whole = fs::read(DEMO).unwrap();
    fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let ended = transcribe(&home, &server, &[&half]).succeeded();
    assert!(ended.err.contains("half.wav: the file is truncated: 8.9 s of 17.8 s could be read"), "{}", ended.err);
    let list: Value = serde_json::from_str(&jobs(&home, &server, &["list"]).succeeded().out).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    let job: Value = serde_json::from_str(&jobs(&home, &server, &["get", id]).succeeded().out).unwrap();
    assert!(job["transcript"]["warnings"][0].as_str().unwrap().contains("truncated"), "{job}");
}

#[test]
fn a_jobs_trace_is_drawn_with_its_waits_and_its_critical_path() {
    let home = Home::new();
    let server = home.serve(&[]);
    transcribe(&home, &server, &[DEMO]).succeeded();
    let list: Value = serde_json::from_str(&jobs(&home, &server, &["list"]).succeeded().out).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    // Its last spans end a moment after it has.
    let drawn = wait_for(|| {
        let drawn = home.run(&["trace", id, "--url", &server.url]).succeeded().out;
        (drawn.contains("engine.loopback.process") && drawn.contains("mark_job_completed")).then_some(drawn)
    });
    let row = |name: &str| drawn.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {drawn}"));
    for process in ["engine.prepare.process", "engine.loopback.process"] {
        assert!(row(process).ends_with('●'), "{drawn}");
    }
    assert!(row("critical path").contains("of work") && drawn.contains("in queues"), "{drawn}");
    let json = home.run(&["trace", id, "--url", &server.url, "--output", "json"]).succeeded().out;
    assert!(serde_json::from_str::<Vec<Value>>(&json).unwrap().len() > 6);
    let unknown = format!("job_{}", "0".repeat(32));
    home.run(&["trace", &unknown, "--url", &server.url]).failed_with(&["no job", &unknown]);
}

#[test]
fn without_a_key_the_user_is_told_which_flag_to_use() {
    let home = Home::new();
    let made = home.run(&["keys", "create", "--name", "laptop", "--scope", "batch"]).succeeded().out;
    let (_, table) = made.split_once('\n').unwrap();
    let file = home.path("dalston.toml");
    fs::write(&file, table).unwrap();
    let server = home.serve(&["--config", &file]);
    transcribe(&home, &server, &[DEMO]).failed_with(&["--api-key", "DALSTON_API_KEY"]);
    jobs(&home, &server, &["list"]).failed_with(&["--api-key", "DALSTON_API_KEY"]);
    home.run(&["trace", &"0".repeat(32), "--url", &server.url]).failed_with(&["--api-key", "DALSTON_API_KEY"]);
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_missing() {
    let home = Home::new();
    let ended = home.run(&["transcribe", DEMO, "--url", "http://127.0.0.1:1"]);
    ended.failed_with(&["nothing listens at 127.0.0.1:1"]);
}

#[test]
fn jobs_are_listed_shown_watched_and_deleted() {
    let home = Home::new();
    let server = home.serve(&[]);
    transcribe(&home, &server, &[DEMO]).succeeded();
    let list: Value = serde_json::from_str(&jobs(&home, &server, &["list"]).succeeded().out).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    let job: Value = serde_json::from_str(&jobs(&home, &server, &["get", id]).succeeded().out).unwrap();
    assert_eq!((&job["status"], &job["name"]), (&"completed".into(), &"demo.wav".into()));
    let text = home.run(&["jobs", "get", id, "--url", &server.url]).succeeded().out;
    assert!(text.contains("prepare") && text.contains("completed") && text.contains("waited"), "{text}");
    let watched = jobs(&home, &server, &["watch", id]).succeeded().out;
    assert_eq!(watched.lines().count(), 1, "it has ended already: {watched}");
    assert!(jobs(&home, &server, &["cancel", id]).succeeded().out.contains("completed"));
    jobs(&home, &server, &["retry", id]).failed_with(&["only one that failed"]);
    jobs(&home, &server, &["delete", id]).succeeded();
    jobs(&home, &server, &["get", id]).failed_with(&["no such job"]);
}

#[test]
fn what_failed_is_listed_with_its_reason() {
    let home = Home::new();
    let server = home.serve(&[]);
    let bad = home.path("bad.wav");
    fs::write(&bad, "this is not audio").unwrap();
    transcribe(&home, &server, &[&bad]).failed_with(&["unsupported_audio"]);
    let dead: Value = serde_json::from_str(&jobs(&home, &server, &["dead"]).succeeded().out).unwrap();
    assert_eq!(dead["items"][0]["task"]["error"]["code"], "unsupported_audio");
    let id = dead["items"][0]["job_id"].as_str().unwrap();
    let watched = jobs(&home, &server, &["watch", id]);
    assert_eq!(watched.code, Some(1), "{}", watched.out);
}

#[test]
fn without_a_server_one_is_started_and_ended() {
    let home = Home::new();
    let mut command = home.dalston(&["transcribe", DEMO, "--embedded"]);
    let ended = Ended::from(command.env("DALSTON_ENGINE", "loopback").output().unwrap()).succeeded();
    assert_eq!(ended.out.lines().count(), 4, "{}", ended.out);
    assert!(!Path::new(&home.path(".local/share/dalston")).exists(), "its jobs are kept apart");
}

#[test]
fn a_server_that_was_started_ends_with_a_command_that_is_killed() {
    let home = Home::new();
    // Nobody writes into it, so the upload never begins.
    let endless = home.path("endless.wav");
    assert!(Command::new("mkfifo").arg(&endless).status().unwrap().success());
    let mut command = home.dalston(&["transcribe", &endless, "--embedded"]);
    let mut owner = command.env("DALSTON_ENGINE", "loopback").stdout(Stdio::null()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", owner.id());
    let child = wait_for(|| fs::read_to_string(&children).unwrap().split_whitespace().next().map(str::to_owned));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_for(|| has_ended(&child).then_some(()));
}

#[test]
fn an_interrupted_command_cancels_what_it_has_asked_for() {
    let home = Home::new();
    let server = home.serve(&[]);
    // Minutes of speech, which even an engine that makes up words is busy with for a while.
    let long = home.path("long.wav");
    write_long(&long);
    let mut command = home.dalston(&["transcribe", &long, "--url", &server.url]);
    let mut transcribing = command.stdout(Stdio::null()).spawn().unwrap();
    let first = |status: &str| {
        // Nobody reads the server's log, which has a line for each of these.
        thread::sleep(Duration::from_millis(200));
        let list: Value = serde_json::from_str(&jobs(&home, &server, &["list"]).succeeded().out).unwrap();
        let job = list["items"].get(0)?;
        (job["status"] == status).then(|| job["id"].as_str().unwrap_or_default().to_owned())
    };
    wait_for(|| first("running"));
    let pid = transcribing.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(transcribing.wait().unwrap().code(), Some(130));
    wait_for(|| first("cancelled"));
}

/// The demo again and again.
fn write_long(path: &str) {
    let demo = hound::WavReader::open(DEMO).unwrap();
    let spec = demo.spec();
    let samples: Vec<i16> = demo.into_samples().map(Result::unwrap).collect();
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples.iter().cycle().take(samples.len() * 60) {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
}

/// Gone, or dead and not yet buried by whoever inherits it.
fn has_ended(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come");
        thread::sleep(Duration::from_millis(10));
    }
}
