//! Measures the default engine on recordings: word error rate, speed, memory, and how long an utterance's end takes.
//!
//! `cargo run --release -p dalston-engine-host --example measure -- FOLDER [PACE]`
//!
//! The folder holds 16 kHz mono WAV files and `manifest.jsonl`, one object a line with `file` and `text`. Each line is a session;
//! its file is one utterance, or a list of files one each. With a pace (1 is real time) audio arrives as a microphone's would.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_pocketsphinx::{PocketSphinx, Settings};
use dalston_engine_sdk::{Profile, SAMPLE_RATE, StreamOptions, StreamingEngine};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|first| first == "engine-host") {
        return dalston_engine_host::run(|| PocketSphinx::load(&Settings::from_env()));
    }
    let Some(folder) = args.first() else {
        eprintln!("which folder?");
        return ExitCode::from(2);
    };
    let pace = args.get(1).and_then(|pace| pace.parse().ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(Path::new(folder), pace));
    ExitCode::SUCCESS
}

struct Session {
    utterances: Vec<Vec<i16>>,
    text: Vec<String>,
}

async fn measure(folder: &Path, pace: Option<f64>) {
    let sessions = sessions(folder);
    let capabilities = Settings::from_env().probe().expect("PocketSphinx").capabilities();
    let config = HostConfig { limits: Limits::default(), ..HostConfig::this_program("pocketsphinx") };
    let began = Instant::now();
    let engine = HostedEngine::start(config, capabilities);
    engine.ready().await.expect("a model");
    println!("load {:.2} s, host {} MB", began.elapsed().as_secs_f64(), memory(engine.host_pid(), "Rss:"));
    for profile in [Profile::Balanced, Profile::LowLatency] {
        run(&engine, profile, &sessions, pace).await;
    }
    engine.shutdown().await;
}

async fn run(engine: &HostedEngine, profile: Profile, sessions: &[Session], pace: Option<f64>) {
    let options = StreamOptions { language: "en".into(), profile, ..StreamOptions::default() };
    let mut forks = Vec::new();
    for _ in 0..30 {
        let began = Instant::now();
        engine.open(options.clone()).expect("a recogniser").accept(&[0; 160], false).await.expect("decoded");
        forks.push(began.elapsed());
    }
    // The first one of a profile may have loaded its model.
    forks.remove(0);
    while engine.stats().in_use > 0 {
        tokio::task::yield_now().await;
    }
    let (spent_before, replays_before) = (spent_by_streams(engine), engine.stats().replays);
    let (mut errors, mut words, mut seconds) = (0, 0, 0.0);
    let (mut finals, mut private) = (Vec::new(), Vec::new());
    for session in sessions {
        let mut recognizer = engine.open(options.clone()).expect("a recogniser");
        let mut heard = Vec::new();
        for utterance in &session.utterances {
            let started = Instant::now();
            for (number, part) in utterance.chunks(1600).enumerate() {
                if let Some(pace) = pace {
                    let due = started + Duration::from_secs_f64((number + 1) as f64 * 0.1 / pace);
                    tokio::time::sleep_until(due.into()).await;
                }
                recognizer.accept(part, number % 5 == 4).await.expect("decoded");
            }
            private.push(memory(stream(engine), "Private_Dirty:"));
            let began = Instant::now();
            heard.extend(normalized(&recognizer.finish().await.expect("words").text));
            finals.push(began.elapsed());
            seconds += utterance.len() as f64 / f64::from(SAMPLE_RATE);
        }
        errors += edits(&session.text, &heard);
        words += session.text.len();
    }
    while engine.stats().in_use > 0 {
        tokio::task::yield_now().await;
    }
    let spent = spent_by_streams(engine) - spent_before;
    forks.sort();
    finals.sort();
    private.sort_unstable();
    let at = |times: &[Duration], share: f64| {
        let millis = times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
        format!("{millis:.1}")
    };
    println!(
        "{profile:?}: WER {:.1} % ({errors}/{words}), CPU {:.3} of real time, fork and first answer p50 {} p95 {} ms, \
         final p50 {} p95 {} max {} ms, private p50 {} max {} MB, {} replays",
        100.0 * f64::from(errors) / words as f64,
        spent / seconds,
        at(&forks, 0.5),
        at(&forks, 0.95),
        at(&finals, 0.5),
        at(&finals, 0.95),
        at(&finals, 1.0),
        private[private.len() / 2],
        private[private.len() - 1],
        engine.stats().replays - replays_before,
    );
}

/// CPU seconds of the streams that the host has reaped: true also on a busy machine.
fn spent_by_streams(engine: &HostedEngine) -> f64 {
    let host = engine.host_pid().expect("a host");
    let stat = std::fs::read_to_string(format!("/proc/{host}/stat")).expect("its state");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    // Fields 16 and 17 of proc_pid_stat(5), in ticks of a hundredth; the first here is field 3.
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0).sum()
}

fn sessions(folder: &Path) -> Vec<Session> {
    let manifest = std::fs::read_to_string(folder.join("manifest.jsonl")).expect("manifest.jsonl");
    let read = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        let files = entry["file"].as_array().cloned().unwrap_or_else(|| vec![entry["file"].clone()]);
        let utterances =
            files.iter().map(|file| samples(&folder.join(file.as_str().expect("a file's name")))).collect();
        Session { utterances, text: normalized(entry["text"].as_str().expect("a text")) }
    };
    manifest.lines().map(read).collect()
}

fn samples(path: &Path) -> Vec<i16> {
    let mut wav = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (SAMPLE_RATE, 1), "{}", path.display());
    wav.samples::<i16>().map(|sample| sample.expect("16 bit")).collect()
}

/// Lower case, letters and apostrophes only.
fn normalized(text: &str) -> Vec<String> {
    let plain = text.to_lowercase().replace(|c: char| !c.is_ascii_lowercase() && c != '\'', " ");
    plain.split_whitespace().map(str::to_owned).collect()
}

/// Least insertions, deletions and substitutions.
fn edits(a: &[String], b: &[String]) -> u32 {
    let mut row: Vec<u32> = (0..).take(b.len() + 1).collect();
    for (i, x) in (1..).zip(a) {
        let mut diagonal = std::mem::replace(&mut row[0], i);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + u32::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The newest process of the host.
fn stream(engine: &HostedEngine) -> Option<u32> {
    let host = engine.host_pid()?;
    let children = std::fs::read_to_string(format!("/proc/{host}/task/{host}/children")).ok()?;
    children.split_whitespace().last()?.parse().ok()
}

/// Megabytes of a process.
fn memory(pid: Option<u32>, field: &str) -> u64 {
    let rollup =
        pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
