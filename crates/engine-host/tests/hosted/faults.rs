//! Streams and hosts that die, hang and talk nonsense.

use std::num::NonZeroUsize;
use std::time::Duration;

use dalston_engine_host::{HostedEngine, Limits};
use dalston_engine_sdk::{EngineError, StreamOptions, StreamingEngine};
use rustix::process::Signal;

use crate::claims::{pocketsphinx, recording};
use crate::support::{
    CHUNK, Watch, audio, config, hear, limits, once, only_stream, open, options, signal, tally as start, troubled,
};
use crate::tally::{self, EXIT, FAIL, GARBAGE, HANG, PANIC};

/// Hangs are noticed soon.
fn impatient() -> Limits {
    Limits { answer: Duration::from_secs(1), fork: Duration::from_secs(2), ..limits() }
}

/// The words of the same audio when nothing happens.
async fn undisturbed(engine: &HostedEngine, audio: &[i16]) -> String {
    let heard = hear(&mut *open(engine), audio).await.expect("words").text;
    assert!(!heard.is_empty());
    heard
}

pub async fn a_stream_killed_in_an_utterance_costs_no_word() {
    let engine = start(limits(), &[]).await;
    let audio = audio(3, 5);
    let expected = undisturbed(&engine, &audio).await;
    let mut recognizer = open(&engine);
    let (early, late) = audio.split_at(CHUNK * 20);
    recognizer.accept(early, false).await.expect("accepted");
    signal(only_stream(&engine).await, Signal::KILL);
    recognizer.accept(late, false).await.expect("decoded again");
    assert_eq!(recognizer.finish().await.expect("words").text, expected);
    assert_eq!(engine.stats().replays, 1);
    // Between the last audio and the end.
    recognizer.accept(&audio, false).await.expect("accepted");
    signal(only_stream(&engine).await, Signal::KILL);
    assert_eq!(recognizer.finish().await.expect("words").text, expected);
    engine.shutdown().await;
}

pub async fn a_host_killed_in_an_utterance_costs_no_word() {
    let engine = start(limits(), &[]).await;
    let audio = audio(3, 5);
    let expected = undisturbed(&engine, &audio).await;
    let mut recognizers = [open(&engine), open(&engine)];
    for recognizer in &mut recognizers {
        recognizer.accept(&audio[..CHUNK * 10], false).await.expect("accepted");
    }
    signal(engine.host_pid().expect("a host"), Signal::KILL);
    for recognizer in &mut recognizers {
        recognizer.accept(&audio[CHUNK * 10..], false).await.expect("decoded again");
        assert_eq!(recognizer.finish().await.expect("words").text, expected);
    }
    assert_eq!(engine.stats().restarts, 1);
    engine.shutdown().await;
}

pub async fn a_stopped_stream_is_replaced() {
    let engine = start(impatient(), &[]).await;
    let audio = audio(2, 5);
    let expected = undisturbed(&engine, &audio).await;
    let mut recognizer = open(&engine);
    recognizer.accept(&audio[..CHUNK * 10], false).await.expect("accepted");
    let stream = only_stream(&engine).await;
    let watch = Watch::new(&[stream]);
    signal(stream, Signal::STOP);
    recognizer.accept(&audio[CHUNK * 10..], false).await.expect("decoded again");
    assert_eq!(recognizer.finish().await.expect("words").text, expected);
    watch.assert_gone(Duration::from_secs(5));
    engine.shutdown().await;
}

pub async fn a_stopped_host_is_replaced() {
    let engine = start(impatient(), &[]).await;
    let audio = audio(1, 5);
    let expected = undisturbed(&engine, &audio).await;
    let host = engine.host_pid().expect("a host");
    let watch = Watch::new(&[host]);
    signal(host, Signal::STOP);
    assert_eq!(hear(&mut *open(&engine), &audio).await.expect("words").text, expected);
    watch.assert_gone(Duration::from_secs(5));
    engine.shutdown().await;
}

pub async fn trouble_that_does_not_come_back_costs_no_word() {
    for trouble in [EXIT, HANG, GARBAGE] {
        let (path, file) = once("trouble");
        let engine = start(impatient(), &[(tally::ONCE, file)]).await;
        let heard = hear(&mut *open(&engine), &troubled(2, 5, trouble)).await.expect("decoded again");
        assert_eq!(heard.words.len(), 20, "{trouble}: {heard:?}");
        assert_eq!(engine.stats().replays, 1, "{trouble}");
        std::fs::remove_file(path).expect("the trouble happened");
        engine.shutdown().await;
    }
}

pub async fn trouble_that_comes_back_is_an_error_and_the_next_utterance_works() {
    let engine = start(Limits { replays: 1, ..impatient() }, &[]).await;
    let mut recognizer = open(&engine);
    let good = audio(1, 5);
    let expected = undisturbed(&engine, &good).await;
    let died = |error: &EngineError, how: &str| matches!(error, EngineError::Died(why) if why.contains(how));
    let failed = |error: &EngineError| matches!(error, EngineError::Failed(why) if why.contains("a sample said so"));
    type Check<'a> = &'a dyn Fn(&EngineError) -> bool;
    let troubles: [(i16, Check<'_>, u64); 5] = [
        (EXIT, &|error| died(error, "exit code 3"), 1),
        (HANG, &|error| *error == EngineError::Stalled(Duration::from_secs(1)), 1),
        (GARBAGE, &|error| died(error, "garbage"), 1),
        // What the engine itself says would be said again.
        (FAIL, &failed, 0),
        (PANIC, &failed, 0),
    ];
    for (trouble, expected_error, replays) in troubles {
        let before = engine.stats().replays;
        let error = hear(&mut *recognizer, &troubled(2, 5, trouble)).await.expect_err("an error");
        assert!(expected_error(&error), "{trouble}: {error:?}");
        assert_eq!(engine.stats().replays - before, replays, "{trouble}");
        assert_eq!(hear(&mut *recognizer, &good).await.expect("words").text, expected, "after {trouble}");
    }
    assert_eq!(engine.stats().restarts, 0, "the host is not touched");
    engine.shutdown().await;
}

pub async fn an_utterance_longer_than_is_kept_is_lost_with_its_stream() {
    let engine = start(Limits { replay_audio: Duration::from_secs(1), ..limits() }, &[]).await;
    let mut recognizer = open(&engine);
    let long = audio(3, 5);
    assert_eq!(hear(&mut *recognizer, &long).await.expect("words").words.len(), 30, "undisturbed it is heard");
    for chunk in long.chunks(CHUNK) {
        recognizer.accept(chunk, false).await.expect("accepted");
    }
    signal(only_stream(&engine).await, Signal::KILL);
    let error = recognizer.finish().await.expect_err("it cannot be decoded again");
    assert_eq!(error, EngineError::Died("stream ended with signal 9".into()));
    engine.shutdown().await;
}

pub async fn a_model_that_is_missing_is_said_with_its_fix() {
    let missing = EngineError::Unavailable { what: "the tally".into(), fix: "unset it".into() };
    let cases = [("missing", Some(missing)), ("exit", None), ("panic", None), ("hang", None)];
    for (how, expected) in cases {
        let limits = Limits { load: Duration::from_secs(2), ..limits() };
        let mut config = config("tally", limits);
        config.env = vec![(tally::NO_MODEL.into(), how.into())];
        let engine = HostedEngine::start(config, tally::capabilities());
        let error = engine.ready().await.expect_err("no model");
        match (how, expected) {
            (_, Some(expected)) => assert_eq!(error, expected),
            ("exit", _) => assert!(matches!(&error, EngineError::Died(why) if why.contains('7')), "{error}"),
            ("panic", _) => {
                assert!(matches!(&error, EngineError::Failed(why) if why.contains("no model today")), "{error}");
            }
            _ => assert_eq!(error, EngineError::Stalled(limits.load)),
        }
        // Sessions are told the same, without a wait.
        let refused = open(&engine).accept(&audio(1, 1), false).await.expect_err("no model");
        assert_eq!(std::mem::discriminant(&refused), std::mem::discriminant(&error));
        engine.shutdown().await;
    }
}

pub async fn a_program_that_is_missing_is_unavailable() {
    let mut config = config("tally", limits());
    config.program = "/nonexistent/dalston".into();
    let engine = HostedEngine::start(config, tally::capabilities());
    let error = engine.ready().await.expect_err("no program");
    assert!(matches!(&error, EngineError::Unavailable { what, .. } if what == "/nonexistent/dalston"), "{error}");
    engine.shutdown().await;
}

pub async fn a_program_that_is_no_host_is_an_error() {
    for (program, args) in [("/bin/cat", vec![]), ("/bin/true", vec![]), ("/bin/sh", vec!["-c", "echo hello >&0; cat"])]
    {
        let mut config = config("tally", Limits { load: Duration::from_secs(2), ..limits() });
        config.program = program.into();
        config.args = args.into_iter().map(Into::into).collect();
        let engine = HostedEngine::start(config, tally::capabilities());
        let error = engine.ready().await.expect_err("no host");
        assert!(matches!(error, EngineError::Died(_) | EngineError::Stalled(_)), "{program}: {error}");
        engine.shutdown().await;
    }
}

pub async fn options_that_no_stream_can_serve_are_rejected() {
    let engine = start(limits(), &[]).await;
    let impossible = StreamOptions { vocabulary: vec![tally::IMPOSSIBLE.into()], ..options() };
    let mut recognizer = engine.open(impossible).expect("a recogniser");
    let error = recognizer.accept(&audio(1, 1), false).await.expect_err("no stream");
    assert_eq!(error, EngineError::Rejected("no such stream".into()));
    assert_eq!(engine.stats().replays, 0);
    engine.shutdown().await;
}

pub async fn what_was_learned_goes_on_within_a_session_only() {
    let engine = start(limits(), &[]).await;
    let confidence = async |recognizer: &mut dyn dalston_engine_sdk::Recognizer| {
        hear(recognizer, &audio(1, 5)).await.expect("words").words[0].confidence
    };
    let (mut first, mut second) = (open(&engine), open(&engine));
    assert_eq!(confidence(&mut *first).await, Some(1.0));
    assert_eq!(confidence(&mut *first).await, Some(0.5));
    assert_eq!(confidence(&mut *second).await, Some(1.0), "another session");
    // A replayed utterance starts from the same knowledge.
    first.accept(&audio(1, 1), false).await.expect("accepted");
    signal(only_stream(&engine).await, Signal::KILL);
    assert_eq!(first.finish().await.expect("words").words[0].confidence, Some(1.0 / 3.0));
    engine.shutdown().await;
}

pub async fn pocketsphinx_killed_in_an_utterance_still_hears_it() {
    let engine = pocketsphinx(limits()).await;
    let audio = recording("goforward.raw");
    let mut recognizer = open(&engine);
    recognizer.accept(&audio[..20_000], false).await.expect("accepted");
    signal(only_stream(&engine).await, Signal::KILL);
    recognizer.accept(&audio[20_000..30_000], false).await.expect("decoded again");
    signal(engine.host_pid().expect("a host"), Signal::KILL);
    recognizer.accept(&audio[30_000..], false).await.expect("decoded again");
    assert_eq!(recognizer.finish().await.expect("words").text, "go forward ten meters");
    engine.shutdown().await;
}

/// The library ends the process on files like these.
pub async fn a_folder_that_is_no_model_is_refused() {
    let folder = std::env::temp_dir().join(format!("dalston-no-model-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["mdef", "x.lm", "x.dict"] {
        std::fs::write(folder.join(name), "not a model").expect("a file");
    }
    let mut config = config("pocketsphinx", Limits { max_streams: NonZeroUsize::MIN, ..limits() });
    config.env = vec![("DALSTON_POCKETSPHINX_MODEL".into(), folder.clone().into())];
    let engine = HostedEngine::start(config, tally::capabilities());
    let error = engine.ready().await.expect_err("no model");
    assert!(matches!(error, EngineError::Died(_) | EngineError::Failed(_)), "{error}");
    engine.shutdown().await;
    std::fs::remove_dir_all(&folder).expect("a folder of ours");
}
