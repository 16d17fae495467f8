//! The whole of sherpa-onnx in a process of its own, with networks that the test makes.
//!
//! This program is also the host that its tests start (`engine-host sherpa`).

#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_sdk::conformance::{CLAIMS, Claim, Subject};
use dalston_engine_sdk::{EngineError, StreamOptions, StreamingEngine};
use dalston_engine_sherpa::{ENGINE_ID, Settings, Sherpa, variable};
use libtest_mimic::{Arguments, Trial};
use support::{audio, broken, streaming, whole};

const LOW: bool = true;
const HIGH: bool = false;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine-host", ENGINE_ID] => dalston_engine_host::run(|| Sherpa::load(&Settings::from_env())),
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
        trial("a_loaded_model_leaves_no_thread_that_a_fork_would_lose".into(), || async { no_thread_is_left() }),
        trial("words_have_their_times".into(), words_have_their_times),
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

async fn sherpa_holds(claim: Claim, make: fn(&Path) -> std::path::PathBuf) {
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
