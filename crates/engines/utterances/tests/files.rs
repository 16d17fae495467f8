//! Whole files through `loopback`, whose words are made from what it heard: a lost or doubled sample shows.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dalston_audio::VadKind;
use dalston_engine_loopback::{Behaviour, Loopback};
use dalston_engine_sdk::batch::{Engine, TaskError, TaskInput, Transcribed, Watched};
use dalston_engine_utterances::{Settings, Utterances};
use tempfile::TempDir;

/// A tone that WebRTC's detector takes for speech, switched on for these spans of seconds.
fn tones(spans: &[(f64, f64)], seconds: f64) -> Vec<i16> {
    (0..(seconds * 16_000.0) as usize)
        .map(|i| {
            let time = i as f64 / 16_000.0;
            let on = spans.iter().any(|(from, to)| (*from..*to).contains(&time));
            let wave = [150.0, 300.0, 450.0, 1_200.0, 2_400.0]
                .iter()
                .map(|hertz| (time * hertz * std::f64::consts::TAU).sin())
                .sum::<f64>();
            if on { (wave * 2_500.0 * (1.0 + 0.5 * (time * 25.0).sin())) as i16 } else { 0 }
        })
        .collect()
}

fn write(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("created");
    samples.iter().for_each(|sample| writer.write_sample(*sample).expect("written"));
    writer.finalize().expect("finished");
}

/// One task with this behaviour of the engine.
fn transcribe(samples: &[i16], behaviour: &str, parallel: usize, ctx: &Watched) -> Result<Transcribed, TaskError> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("audio.wav");
    write(&path, samples);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let behaviour: Behaviour = behaviour.parse().expect("a behaviour");
    let settings = Settings {
        vad: VadKind::WebRtc,
        longest: Duration::from_secs(5),
        parallel: parallel.try_into().expect("not none"),
        ..Settings::default()
    };
    let engine = runtime.block_on(async { Utterances::new(Arc::new(Loopback::new(behaviour)), settings) });
    let input = TaskInput { files: [("audio.wav".to_owned(), path)].into(), ..TaskInput::default() };
    let output = engine.process(&input, ctx)?;
    Ok(serde_json::from_value(output.result).expect("a transcription"))
}

const SPANS: &[(f64, f64)] = &[(1.0, 3.0), (4.5, 6.0), (8.0, 20.0), (22.0, 22.8)];

#[test]
fn words_stand_where_there_was_sound() {
    let watched = Watched::default();
    let found = transcribe(&tones(SPANS, 24.0), "", 2, &watched).expect("words");
    assert_eq!(found.model, "loopback/words-from-voiced-time");
    assert!(found.segments.len() >= 6, "the long one is cut: {}", found.segments.len());
    let ends: Vec<f64> = found.segments.iter().flat_map(|segment| [segment.start, segment.end]).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    for word in found.segments.iter().flat_map(|segment| &segment.words) {
        let is_sound = SPANS.iter().any(|(from, to)| word.start > from - 0.35 && word.end < to + 0.5);
        assert!(is_sound, "{} to {}", word.start, word.end);
    }
    let spoken: f64 = SPANS.iter().map(|(from, to)| to - from).sum();
    let words = found.segments.iter().map(|segment| segment.words.len()).sum::<usize>() as f64;
    // A word for each 300 ms, and one for the rest of each piece.
    let (least, most) = (spoken / 0.3 - 10.0, spoken / 0.3 + found.segments.len() as f64);
    assert!((least..=most).contains(&words), "{words} words in {spoken} s");
    assert_eq!(watched.progress().last(), Some(&1.0));
}

#[test]
fn the_words_do_not_depend_on_how_many_are_heard_at_once() {
    let samples = tones(SPANS, 24.0);
    let one = transcribe(&samples, "", 1, &Watched::default()).expect("words");
    for parallel in [2, 7] {
        // The longest take longest, so they end in another order.
        let many = transcribe(&samples, "delay_per_second=20ms", parallel, &Watched::default()).expect("words");
        assert_eq!(many, one, "{parallel}");
    }
}

#[test]
fn silence_and_nothing_at_all_have_no_segments() {
    for seconds in [0.0, 0.01, 30.0] {
        let found = transcribe(&tones(&[], seconds), "", 2, &Watched::default()).expect("nothing");
        assert_eq!(found.segments, []);
    }
}

#[test]
fn a_task_that_is_cancelled_ends_inside_an_utterance() {
    let watched = Arc::new(Watched::default());
    let asked = Instant::now();
    let task = std::thread::spawn({
        let watched = watched.clone();
        move || transcribe(&tones(SPANS, 24.0), "stall_every=1", 2, &watched)
    });
    watched.cancel();
    assert_eq!(task.join().expect("ended").expect_err("cancelled"), TaskError::Cancelled);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
}

#[test]
fn an_engine_that_fails_fails_the_task() {
    let error = transcribe(&tones(SPANS, 24.0), "error_every=2", 2, &Watched::default()).expect_err("failed");
    assert!(matches!(error, TaskError::Failed(_)), "{error:?}");
}

#[test]
fn audio_that_was_not_prepared_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("audio.wav");
    std::fs::write(&path, b"RIFF").expect("written");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let loopback = Arc::new(Loopback::new("".parse().expect("a behaviour")));
    let engine = runtime.block_on(async { Utterances::new(loopback, Settings::default()) });
    let input = TaskInput { files: [("audio.wav".to_owned(), path)].into(), ..TaskInput::default() };
    assert!(matches!(engine.process(&input, &Watched::default()), Err(TaskError::Failed(_))));
}
