//! The whole of Whisper in a process of its own, with a model that the test makes.
//!
//! This program is also the host that its tests start (`engine-host whisper`).

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
use dalston_engine_sdk::{Capabilities, EngineError, Hypothesis, Profile, StreamOptions, StreamingEngine};
use dalston_engine_whisper::{ENGINE_ID, Settings, Whisper, variable};
use libtest_mimic::{Arguments, Trial};
use support::{ENGLISH, MULTILINGUAL, audio};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["engine-host", ENGINE_ID] => dalston_engine_host::run(|| Whisper::load(&Settings::from_env())),
        ["count-threads"] => {
            let _loaded = Whisper::load(&Settings::from_env()).expect("a model");
            println!("{}", fs::read_dir("/proc/self/task").expect("/proc").count());
            ExitCode::SUCCESS
        }
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("a_loaded_model_leaves_no_thread_that_a_fork_would_lose", || async { a_loaded_model_leaves_no_thread() }),
        trial("every_profile_hears_the_whole_utterance", every_profile_hears_the_whole_utterance),
        trial("a_long_utterance_is_heard_to_its_end", a_long_utterance_is_heard_to_its_end),
        trial("a_multilingual_model_finds_the_language_out", a_multilingual_model_finds_the_language_out),
        trial("hints_may_hold_anything", hints_may_hold_anything),
        trial("a_model_that_the_library_refuses_is_an_error", a_model_that_the_library_refuses_is_an_error),
        trial("a_model_that_is_missing_is_said_with_its_fix", a_model_that_is_missing_is_said_with_its_fix),
    ];
    trials.extend(CLAIMS.iter().map(|&(name, claim)| trial(name, move || whisper_holds(claim))));
    trials
}

fn trial<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test());
        Ok(())
    })
}

fn settings(model: &Path) -> Settings {
    Settings { model: Some(model.to_owned()), threads: NonZeroUsize::MIN, ..Settings::default() }
}

/// A host of this model, which need not be there.
fn start(model: &Path, capabilities: Capabilities) -> HostedEngine {
    let env: Vec<(OsString, OsString)> =
        vec![(variable::MODEL.into(), model.into()), (variable::THREADS.into(), "1".into())];
    // Others work on the machine, and the library is not built for speed in tests.
    let limits = Limits {
        max_streams: NonZeroUsize::new(2).expect("two"),
        answer: Duration::from_secs(60),
        finish: Duration::from_secs(60),
        ..Limits::default()
    };
    let program = std::env::current_exe().expect("this program");
    let args = vec!["engine-host".into(), ENGINE_ID.into()];
    HostedEngine::start(HostConfig { program, args, env, limits, on_granted: None }, capabilities)
}

async fn ready(folder: &Path, vocabulary: u32) -> HostedEngine {
    let model = support::write(folder, vocabulary);
    let capabilities = settings(&model).probe().expect("a whole model").capabilities();
    let engine = start(&model, capabilities);
    engine.ready().await.expect("the model loads");
    engine
}

fn options(profile: Profile) -> StreamOptions {
    StreamOptions { language: "en".into(), profile, ..StreamOptions::default() }
}

async fn hear(engine: &HostedEngine, options: StreamOptions, audio: &[i16]) -> Hypothesis {
    let mut recognizer = engine.open(options).expect("a recogniser");
    for chunk in audio.chunks(4_000) {
        recognizer.accept(chunk, false).await.expect("accepted");
    }
    recognizer.finish().await.expect("finished")
}

async fn whisper_holds(claim: Claim) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = ready(folder.path(), ENGLISH).await;
    let utterances = [audio(2.3, true), audio(2.9, false)];
    claim(&Subject { engine: &engine, options: options(Profile::Balanced), utterances }).await;
    engine.shutdown().await;
}

fn a_loaded_model_leaves_no_thread() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = support::write(folder.path(), ENGLISH);
    let program = std::env::current_exe().expect("this program");
    let counted = Command::new(program).arg("count-threads").env(variable::MODEL, model).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "1", "{counted:?}");
}

async fn every_profile_hears_the_whole_utterance() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = ready(folder.path(), ENGLISH).await;
    for profile in [Profile::LowLatency, Profile::Balanced, Profile::Accurate] {
        for (low, expected) in [(true, "go forward ten meters."), (false, "ten of clubs.")] {
            let heard = hear(&engine, options(profile), &audio(3.4, low)).await;
            assert_eq!(heard.text, expected, "{profile:?}");
            assert_eq!(heard.words.len(), expected.split(' ').count());
            assert!(heard.confidence.is_some_and(|confidence| confidence > 0.5), "{heard:?}");
        }
    }
    engine.shutdown().await;
}

/// Longer than the window, and than what the model can hear at once.
async fn a_long_utterance_is_heard_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = ready(folder.path(), ENGLISH).await;
    let mut recognizer = engine.open(options(Profile::LowLatency)).expect("a recogniser");
    let mut before: Vec<String> = Vec::new();
    for second in audio(36.0, true).chunks(16_000) {
        let partial = recognizer.accept(second, true).await.expect("accepted").expect("a partial");
        let words: Vec<String> = partial.words.into_iter().map(|word| word.text).collect();
        assert!(words.starts_with(&before[..before.len().min(4)]), "{before:?} became {words:?}");
        before = words;
    }
    let heard = recognizer.finish().await.expect("finished");
    assert!(heard.text.starts_with("go forward ten meters."), "{heard:?}");
    assert!(heard.words.windows(2).all(|pair| pair[0].end <= pair[1].start), "{heard:?}");
    engine.shutdown().await;
}

async fn a_multilingual_model_finds_the_language_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = ready(folder.path(), MULTILINGUAL).await;
    for (language, translate) in [("de", false), ("auto", false), ("de", true)] {
        let options = StreamOptions { language: language.into(), translate, ..options(Profile::LowLatency) };
        assert_eq!(hear(&engine, options, &audio(4.2, true)).await.text, "go forward ten meters.", "{language}");
    }
    engine.shutdown().await;
}

async fn hints_may_hold_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = ready(folder.path(), ENGLISH).await;
    let vocabulary = vec!["clubs".to_owned(), "a\0b".to_owned(), "\u{1f980}".to_owned(), "x".repeat(50)];
    let options = StreamOptions { vocabulary, ..options(Profile::Balanced) };
    assert_eq!(hear(&engine, options, &audio(1.5, false)).await.text, "ten of clubs.");
    engine.shutdown().await;
}

/// What fails loading, and that this process lives to see it.
async fn load_error(folder: &Path, model: &Path) -> EngineError {
    let whole = support::write(&folder.join(".."), ENGLISH);
    let capabilities = settings(&whole).probe().expect("whole").capabilities();
    let engine = start(model, capabilities);
    let error = engine.ready().await.expect_err("no model");
    engine.shutdown().await;
    error
}

async fn a_model_that_the_library_refuses_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("made");
    // Whole, but one of its tensors has another's shape.
    let mut bytes = support::model(ENGLISH);
    let name = b"encoder.positional_embedding";
    let at = bytes.windows(name.len()).position(|window| window == name).expect("the tensor");
    bytes[at - 8..at - 4].copy_from_slice(&1500u32.to_le_bytes());
    bytes[at - 4..at].copy_from_slice(&64u32.to_le_bytes());
    let model = inner.join("ggml-odd.bin");
    fs::write(&model, bytes).expect("written");
    let error = load_error(&inner, &model).await;
    assert!(matches!(&error, EngineError::Failed(why) if why.contains("ggml-odd.bin")), "{error}");
}

async fn a_model_that_is_missing_is_said_with_its_fix() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).expect("made");
    let error = load_error(&inner, &inner.join("ggml-gone.bin")).await;
    let text = error.to_string();
    assert!(matches!(error, EngineError::Unavailable { .. }) && text.contains("DALSTON_WHISPER_MODEL"), "{text}");
}
