//! Synthetic voices that take turns. What this needs: `apt-get install flite sox`.

use std::path::{Path, PathBuf};
use std::process::Command;

use dalston_engine_diarize::Diarize;
use dalston_engine_sdk::batch::{Diarized, Engine, TaskError, TaskInput, Turn, Watched};
use dalston_protocol::job::JobParameters;
use tempfile::TempDir;

const LINES: &[&str] = &[
    "good morning and welcome to the weekly meeting of the garden committee",
    "thank you for having me it is a pleasure to be here with all of you today",
    "let us begin with the roses near the old stone wall behind the house",
    "they need more water than we thought and the soil there is very dry indeed",
    "then we shall order a longer hose before the end of this month",
    "i will ask my neighbour whether he can lend us his until it arrives",
];

fn command(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Voices that take turns, half a second apart, and who speaks when.
fn conversation(folder: &Path, voices: &[&str]) -> (PathBuf, Vec<Turn>) {
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let (mut parts, mut turns, mut now) = (Vec::new(), Vec::new(), 0.0);
    for (number, line) in LINES.iter().enumerate() {
        let raw = text(&folder.join(format!("raw-{number}.wav")));
        let part = folder.join(format!("part-{number}.wav"));
        let speaker = number % voices.len();
        command("flite", &["-voice", voices[speaker], "-t", line, "-o", &raw]);
        command("sox", &["-D", &raw, "-r", "16000", &text(&part), "norm", "-6", "pad", "0", "0.5"]);
        let samples = hound::WavReader::open(&part).expect("a WAV").duration();
        let length = f64::from(samples) / 16_000.0;
        turns.push(Turn { start: now, end: now + length - 0.5, speaker: speaker as u32 });
        now += length;
        parts.push(text(&part));
    }
    let whole = folder.join("audio.wav");
    let mut args: Vec<&str> = parts.iter().map(String::as_str).collect();
    let path = text(&whole);
    args.push(&path);
    command("sox", &args);
    (whole, turns)
}

fn diarize(audio: PathBuf, num_speakers: Option<u8>, ctx: &Watched) -> Result<Diarized, TaskError> {
    let input = TaskInput {
        parameters: JobParameters { num_speakers, ..JobParameters::default() },
        files: [("audio.wav".to_owned(), audio)].into(),
        ..TaskInput::default()
    };
    let output = Diarize.process(&input, ctx)?;
    Ok(serde_json::from_value(output.result).expect("turns"))
}

/// Share of the time at which somebody speaks that has another name, looked at each 10 ms. Names in the order of first words.
fn error_rate(expected: &[Turn], found: &[Turn]) -> f64 {
    let at = |turns: &[Turn], time: f64| {
        turns.iter().find(|turn| (turn.start..turn.end).contains(&time)).map(|turn| turn.speaker)
    };
    let end = expected.last().map_or(0.0, |turn| turn.end);
    let times = (0..(end * 100.0) as u32).map(|i| f64::from(i) / 100.0);
    let spoken: Vec<(u32, Option<u32>)> =
        times.filter_map(|time| Some((at(expected, time)?, at(found, time)))).collect();
    let wrong = spoken.iter().filter(|(expected, found)| found.is_some_and(|found| found != *expected)).count();
    wrong as f64 / spoken.len() as f64
}

fn speakers(turns: &[Turn]) -> usize {
    turns.iter().map(|turn| turn.speaker as usize + 1).max().unwrap_or(0)
}

#[test]
fn two_voices_that_take_turns_are_told_apart() {
    let folder = TempDir::new().expect("a folder");
    for voices in [["kal", "slt"], ["rms", "slt"], ["awb", "slt"]] {
        let (audio, expected) = conversation(folder.path(), &voices);
        for told in [Some(2), None] {
            let found = diarize(audio.clone(), told, &Watched::default()).expect("turns");
            assert!(found.method.starts_with("basic"));
            assert_eq!(speakers(&found.turns), 2, "{voices:?} {told:?}: {:?}", found.turns);
            let wrong = error_rate(&expected, &found.turns);
            assert!(wrong < 0.05, "{voices:?} {told:?}: {wrong:.3}, {:?}", found.turns);
        }
    }
}

#[test]
fn one_voice_is_one_speaker() {
    let folder = TempDir::new().expect("a folder");
    let (audio, _) = conversation(folder.path(), &["slt"]);
    assert_eq!(speakers(&diarize(audio, None, &Watched::default()).expect("turns").turns), 1);
}

#[test]
fn as_many_speakers_as_are_asked_for() {
    let folder = TempDir::new().expect("a folder");
    let (audio, expected) = conversation(folder.path(), &["rms", "slt", "awb"]);
    let found = diarize(audio.clone(), Some(3), &Watched::default()).expect("turns");
    assert_eq!(speakers(&found.turns), 3);
    assert!(error_rate(&expected, &found.turns) < 0.1, "{:?}", found.turns);
    assert_eq!(speakers(&diarize(audio, Some(1), &Watched::default()).expect("turns").turns), 1);
}

#[test]
fn silence_has_no_speakers() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("silence.wav");
    for seconds in ["0", "3"] {
        command(
            "sox",
            &["-D", "-n", "-r", "16000", "-b", "16", "-c", "1", path.to_str().expect("text"), "trim", "0", seconds],
        );
        for told in [None, Some(2)] {
            assert_eq!(diarize(path.clone(), told, &Watched::default()).expect("no turns").turns, []);
        }
    }
}

#[test]
fn a_cancelled_task_ends() {
    let folder = TempDir::new().expect("a folder");
    let (audio, _) = conversation(folder.path(), &["slt"]);
    assert_eq!(diarize(audio, None, &Watched::cancelled()).expect_err("cancelled"), TaskError::Cancelled);
}
