//! The whole of sherpa-onnx in a process of its own, with networks that the test makes.
//!
//! This program is also the host that its tests start (`engine-host sherpa`).

#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_sdk::batch::{Diarized, Engine, TaskError, TaskInput, Watched};
use dalston_engine_sdk::conformance::{CLAIMS, Claim, Subject};
use dalston_engine_sdk::{EngineError, StreamOptions, StreamingEngine};
use dalston_engine_sherpa::{DIARIZE_ID, Diarize, DiarizeModels, ENGINE_ID, Settings, Sherpa, run_diarize, variable};
use libtest_mimic::{Arguments, Trial};
use support::{audio, broken, speakers, streaming, voice, whole};

const LOW: bool = true;
const HIGH: bool = false;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine-host", ENGINE_ID] => dalston_engine_host::run(|| Sherpa::load(&Settings::from_env())),
        ["engine-host", DIARIZE_ID] => run_diarize(),
        ["count-threads"] => {
            let _loaded = Sherpa::load(&Settings::from_env()).expect("a model");
            println!("{}", fs::read_dir("/proc/self/task").expect("/proc").count());
            ExitCode::SUCCESS
        }
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_loaded_model_leaves_no_thread_that_a_fork_would_lose".into(), || async {
            no_thread_is_left();
        }),
        trial("words_have_their_times".into(), words_have_their_times),
        trial("two_voices_are_told_apart".into(), || async {
            two_voices_are_told_apart();
        }),
        trial("a_diarization_that_is_cancelled_ends_at_once".into(), || async {
            a_cancelled_one_ends();
        }),
        trial("speaker_models_that_are_none_fail_the_task_with_their_settings".into(), || async {
            broken_speaker_models();
        }),
        trial("a_file_over_which_the_library_ends_its_process_is_an_error".into(), a_broken_file_is_an_error),
    ];
    for &(name, claim) in CLAIMS {
        trials.push(trial(format!("whole::{name}"), move || sherpa_holds(claim, whole)));
        trials.push(trial(format!("streaming::{name}"), move || sherpa_holds(claim, streaming)));
    }
    trials
}

fn trial<F: Future<Output = ()>>(name: String, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test());
        Ok(())
    })
}

fn start(model: &Path) -> HostedEngine {
    let capabilities =
        Settings { model: Some(model.to_owned()), punctuation: None }.probe().expect("a folder").capabilities();
    let env: Vec<(OsString, OsString)> = vec![(variable::MODEL.into(), model.into())];
    // Others work on the machine.
    let limits = Limits {
        max_streams: NonZeroUsize::new(2).expect("two"),
        answer: Duration::from_secs(30),
        finish: Duration::from_secs(30),
        ..Limits::default()
    };
    let program = std::env::current_exe().expect("this program");
    let args = vec!["engine-host".into(), ENGINE_ID.into()];
    HostedEngine::start(HostConfig { program, args, env, limits, on_granted: None }, capabilities)
}

fn options() -> StreamOptions {
    StreamOptions { language: "en".into(), ..StreamOptions::default() }
}

async fn sherpa_holds(claim: Claim, make: fn(&Path) -> PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(&make(folder.path()));
    engine.ready().await.expect("the model loads");
    let utterances = [audio(&[LOW, HIGH, LOW]), audio(&[HIGH, LOW, HIGH, LOW])];
    claim(&Subject { engine: &engine, options: options(), utterances }).await;
    engine.shutdown().await;
}

fn no_thread_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    for model in [whole(folder.path()), streaming(folder.path())] {
        let program = std::env::current_exe().expect("this program");
        let counted = Command::new(program).arg("count-threads").env(variable::MODEL, model).output().expect("run");
        assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "1", "{counted:?}");
    }
}

async fn words_have_their_times() {
    let folder = tempfile::tempdir().expect("a folder");
    for model in [whole(folder.path()), streaming(folder.path())] {
        let engine = start(&model);
        engine.ready().await.expect("the model loads");
        let mut recognizer = engine.open(options()).expect("a recogniser");
        recognizer.accept(&audio(&[LOW, HIGH, LOW]), false).await.expect("accepted");
        let heard = recognizer.finish().await.expect("finished");
        assert_eq!(heard.text, "go ten go");
        for (word, expected) in heard.words.iter().zip([0.0, 0.5, 1.0]) {
            assert!((word.start - expected).abs() < 0.1, "{heard:?}");
        }
        engine.shutdown().await;
    }
}

async fn a_broken_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(&broken(folder.path()));
    let error = engine.ready().await.expect_err("no network");
    assert!(matches!(error, EngineError::Died(_) | EngineError::Failed(_)), "{error:?}");
    engine.shutdown().await;
}

fn diarize(folder: &Path, (segmentation, embedding): (PathBuf, PathBuf), ctx: &Watched) -> Result<Diarized, TaskError> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let path = folder.join("audio.wav");
    let mut writer = hound::WavWriter::create(&path, spec).expect("created");
    let silence = || vec![0; 16_000];
    let parts = [voice(HIGH, 8, 0.3), silence(), voice(LOW, 8, 1.0), silence(), voice(HIGH, 8, 0.3)];
    parts.concat().into_iter().for_each(|sample| writer.write_sample(sample).expect("written"));
    writer.finalize().expect("finished");
    let mut input = TaskInput { files: [("audio.wav".to_owned(), path)].into(), ..TaskInput::default() };
    input.parameters.num_speakers = Some(2);
    let program = std::env::current_exe().expect("this program");
    let args = vec!["engine-host".into(), DIARIZE_ID.into()];
    let engine = Diarize::new(DiarizeModels { segmentation, embedding }, program, args).expect("files");
    let output = engine.process(&input, ctx)?;
    Ok(serde_json::from_value(output.result).expect("turns"))
}

fn two_voices_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = diarize(folder.path(), speakers(folder.path()), &Watched::default()).expect("turns");
    assert!(found.method.contains("sherpa-onnx"));
    let turns: Vec<(f64, f64, u32)> = found.turns.iter().map(|turn| (turn.start, turn.end, turn.speaker)).collect();
    let expected = [(0.0, 4.0, 0), (5.0, 9.0, 1), (10.0, 14.0, 0)];
    assert_eq!(turns.len(), expected.len(), "{turns:?}");
    for (found, expected) in turns.iter().zip(expected) {
        assert!((found.0 - expected.0).abs() < 0.3 && (found.1 - expected.1).abs() < 0.3, "{turns:?}");
        assert_eq!(found.2, expected.2, "{turns:?}");
    }
}

fn a_cancelled_one_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = diarize(folder.path(), speakers(folder.path()), &Watched::cancelled());
    assert_eq!(found, Err(TaskError::Cancelled));
}

fn broken_speaker_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = folder.path().join("none.onnx");
    fs::write(&none, "no network").expect("written");
    let Err(TaskError::Failed(why)) = diarize(folder.path(), (none.clone(), none), &Watched::default()) else {
        panic!("turns by no model")
    };
    assert!(why.contains("engine.sherpa.segmentation"), "{why}");
}
