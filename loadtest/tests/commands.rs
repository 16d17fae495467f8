//! The program as a user runs it, against a small server that speaks the protocol, right and wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::process::Stdio;

use serde_json::Value;
use support::{Wrong, server};
use tokio::process::Command;

/// Runs the program; its exit code and what it found.
async fn loadtest(wrong: Wrong, line: &str) -> (i32, Value) {
    let url = server(wrong).await;
    // The server is this process, in which other tests run too: what is measured is somebody who does nothing.
    let bystander = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let pid = bystander.id().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_dalston-loadtest"))
        .args(line.split(' '))
        .args(["--output", "json", "--url", &url, "--pid", &pid])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {said}"));
    (output.status.code().unwrap(), report)
}

fn broken(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["ok"] == false).filter_map(|check| check["claim"].as_str()).collect()
}

#[tokio::test]
async fn pace_times_and_checks_every_session() {
    let line = "pace --sessions 8 --seconds 4 --ramp 500ms";
    let (code, report) = loadtest(Wrong::Nothing, line).await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    let figures = &report["figures"];
    assert_eq!(figures["finals"], 8 * 4);
    assert_eq!(figures["audio_seconds"], 32.0);
    assert_eq!(figures["final_beyond_endpointing_ms"]["count"], 8 * 4);
    assert_eq!(figures["connect_to_begin_ms"]["count"], 8);
    let (beyond, whole) =
        (&figures["final_beyond_endpointing_ms"]["p50"], &figures["end_of_speech_to_final_ms"]["p50"]);
    assert!(whole.as_f64() > beyond.as_f64().map(|ms| ms + 450.0), "{figures:#}");
}

#[tokio::test]
async fn pace_fails_when_a_final_is_lost() {
    let (code, report) = loadtest(Wrong::LosesAFinal, "pace --sessions 3 --seconds 2 --ramp 100ms").await;
    assert_eq!(code, 1);
    assert!(broken(&report).contains(&"every final is the expected one, and none is missing"), "{report:#}");
}

#[tokio::test]
async fn pace_fails_on_a_warning_and_tells_the_lag() {
    let (code, report) = loadtest(Wrong::Warns, "pace --sessions 2 --seconds 1 --ramp 100ms --words any").await;
    assert_eq!((code, broken(&report)), (1, vec!["no warning came"]));
    assert_eq!(report["figures"]["max_lag_seconds"], 3.5);
}

#[tokio::test]
async fn idle_holds_sessions_and_checks_their_ends() {
    let line = "idle --sessions 20 --rate 200 --hold 300ms --keepalive 100ms";
    let (code, report) = loadtest(Wrong::Nothing, line).await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["figures"]["sessions"], 20);
    let (code, report) = loadtest(Wrong::Fails, line).await;
    assert_eq!((code, broken(&report)), (1, vec!["every session ended with session.end, then 1000"]));
}

#[tokio::test]
async fn noise_fails_on_any_word() {
    let (code, report) = loadtest(Wrong::Nothing, "noise --seconds 2 --pace 4").await;
    assert_eq!(code, 1);
    assert!(broken(&report).contains(&"no sound has words"), "{report:#}");
}

#[tokio::test]
async fn churn_wants_every_slot_back() {
    let line = "churn --rate 100 --lasting 1s --speech 1s --settle 1s";
    let (code, report) = loadtest(Wrong::Nothing, line).await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["figures"]["vanishing"], 20);
    let (code, report) = loadtest(Wrong::LeaksASlot, line).await;
    assert_eq!((code, broken(&report)), (1, vec!["no slot is used afterwards"]));
}

#[tokio::test]
async fn frames_are_given_as_a_share_of_the_baselines() {
    let (code, report) = loadtest(Wrong::Nothing, "frames --sessions 2 --lasting 200ms --rounds 1").await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    let servers = report["figures"]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 5);
    assert!(servers.iter().all(|server| server["frames_per_second"].as_f64() > Some(100.0)), "{servers:#?}");
}

#[tokio::test]
async fn max_stops_where_it_was_told() {
    let (code, report) = loadtest(Wrong::Nothing, "max --from 1 --to 2 --seconds 2 --budget-ms 5000").await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["figures"]["sessions"], 2);
}

#[tokio::test]
async fn wer_compares_words_as_they_are_said() {
    let folder = std::env::temp_dir().join(format!("dalston-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(folder.join("a.wav"), spec).unwrap();
    (0..32_000).for_each(|_| wav.write_sample(0i16).unwrap());
    wav.finalize().unwrap();
    let manifest = folder.join("manifest.jsonl");
    std::fs::write(&manifest, "{\"file\": \"a.wav\", \"text\": \"Word one, word 22.\", \"rate\": 16000}\n").unwrap();

    let line = format!("wer --pace 4 --manifest {}", manifest.display());
    let (code, report) = loadtest(Wrong::Nothing, &line).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    // "word one word two" was heard and "word one word twenty two" said.
    assert_eq!(report["figures"]["deleted"], 1);
    assert_eq!(report["figures"]["word_error_rate"], 0.2);
}

#[tokio::test]
async fn a_machine_that_is_not_this_one_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_dalston-loadtest"))
        .args(["idle", "--url", "ws://192.0.2.1:8000"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--allow-remote"), "{said}");
}
