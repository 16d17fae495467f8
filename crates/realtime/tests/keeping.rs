//! What is kept of a session that asks for it.

mod support;

use std::time::Duration;

use dalston_protocol::realtime::{ClientMessage, Retention, ServerMessage, SessionConfig};
use dalston_realtime::RealtimeConfig;
use dalston_session_router::link::{Departure, FromWorker, Progress, Refusal, ToWorker};
use dalston_store::{Archive, Limits};
use dalston_telemetry::SessionOutcome;
use support::{Scripted, Stage, chunks, noise, stream, without_vad};

#[tokio::test]
async fn a_session_that_asks_to_be_kept_is_there_when_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
    let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
    let config = SessionConfig { retention: Retention::Days(1), store_audio: true, ..without_vad() };
    let heard = stream(&stage, config, noise(1.0), 3_200).await;
    let end = heard.session_end().expect("it ended well");
    let kept = archive.get("test", &end.session_id).await.unwrap().expect("it is kept");
    assert_eq!((kept.transcript.text.as_str(), kept.transcript.duration), (end.transcript.as_str(), 1.0));
    let audio = kept.summary.audio.expect("its audio is kept");
    assert!(audio.complete && audio.seconds == 1.0, "{audio:?}");
    assert!(archive.get("another", &end.session_id).await.unwrap().is_none());

    let heard = stream(&stage, without_vad(), noise(1.0), 3_200).await;
    assert!(archive.get("test", &heard.session_end().unwrap().session_id).await.unwrap().is_none());
    assert_eq!(archive.list("test", 10, None).await.unwrap().sessions.len(), 1);
    archive.close().await.unwrap();
}

#[tokio::test]
async fn a_kept_session_says_how_its_client_left() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
    let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
    let left = |outcome, close_code| Some(Departure { outcome, close_code });
    for (how, outcome, close_code) in [
        (None, "client_gone", 1006),
        (left(SessionOutcome::ClientGone, 4999), "client_gone", 4999),
        (left(SessionOutcome::SlowReader, 4408), "slow_reader", 4408),
    ] {
        let mut client = stage.open(SessionConfig { retention: Retention::Forever, ..without_vad() }).await;
        client.audio(noise(1.0)).await;
        if let Some(how) = how {
            client.channel.to_worker.send(ToWorker::Gone(how)).await.unwrap();
        }
        let (nowhere, _) = tokio::sync::mpsc::channel(1);
        client.channel.to_worker = nowhere;
        let heard = client.rest().await;
        let end = heard.session_end().expect("what was received is answered");
        let kept = archive.get("test", &end.session_id).await.unwrap().expect("it is kept");
        assert_eq!((kept.summary.outcome.as_str(), kept.summary.close_code), (outcome, close_code));
        assert!(kept.transcript.text.starts_with("16000:"), "{}", kept.transcript.text);
    }
    archive.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_never_heard_of_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
    let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
    let mut client = stage.open(SessionConfig { retention: Retention::Forever, ..without_vad() }).await;
    // As a gateway does that has waited too long for the answer.
    let (nowhere, _) = tokio::sync::mpsc::channel(1);
    client.channel.to_worker = nowhere;
    client.rest().await;
    assert_eq!(archive.list("test", 10, None).await.unwrap().sessions, []);
    archive.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_others_had_is_kept_by_a_worker_whose_gateway_knows_that_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
    let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
    let config = SessionConfig { retention: Retention::Forever, ..without_vad() };
    let continuation = Progress::new(&config).continuation(4, Duration::ZERO, Duration::ZERO);
    for is_greeted in [false, true] {
        let mut client = stage.continues(config.clone(), continuation.clone()).await;
        if is_greeted {
            client.say(ClientMessage::Keepalive).await;
        }
        // The gateway was gone before the worker answered, or is now.
        let (nowhere, _) = tokio::sync::mpsc::channel(1);
        client.channel.to_worker = nowhere;
        let heard = client.rest().await;
        let id = &heard.session_end().expect("what was received is answered").session_id;
        assert_eq!(archive.get("test", id).await.unwrap().is_some(), is_greeted);
    }
    archive.close().await.unwrap();
}

#[tokio::test]
async fn what_a_worker_keeps_of_a_session_that_it_has_lost_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
    let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
    let config = SessionConfig { retention: Retention::Days(1), store_audio: true, ..without_vad() };
    let mut first = stage.open(config.clone()).await;
    first.audio(noise(1.0)).await;
    let FromWorker::Event(begin) = first.next().await else { panic!("it begins with an event") };
    let ServerMessage::SessionBegin { session_id, .. } = *begin else { panic!("{begin:?}") };

    // Its client has gone on with it, and the gateway that had it does not know.
    let mut progress = Progress::new(&config);
    progress.taken(2);
    let continuation = progress.continuation(0, Duration::ZERO, Duration::ZERO);
    let second = stage.continues_as(session_id.clone(), config, continuation).await;
    let heard = second.stream(chunks(noise(2.0), 3_200)).await;
    let end = heard.session_end().expect("it ended well");
    let kept = async || archive.get("test", &session_id).await.unwrap().expect("it is kept");
    assert_eq!(kept().await.transcript.text, end.transcript);

    let (nowhere, _) = tokio::sync::mpsc::channel(1);
    first.channel.to_worker = nowhere;
    let half = first.rest().await.session_end().expect("what was received is answered").clone();
    assert_ne!(half.transcript, end.transcript);
    let kept = kept().await;
    assert_eq!((kept.transcript.text, kept.summary.outcome.as_str()), (end.transcript.clone(), "completed"));
    archive.close().await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_kept_in_part_or_not_at_all_is_told_before_its_end() {
    let check = async |limits: Limits, expected: &str, is_kept: bool| {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path(), limits).await.unwrap();
        let stage = Stage::keeping(Scripted::working(), RealtimeConfig::default(), Some(archive.clone())).await;
        let config = SessionConfig { retention: Retention::Days(1), store_audio: true, ..without_vad() };
        let heard = stream(&stage, config, noise(2.0), 3_200).await;
        let end = heard.session_end().expect("it ended well");
        let [.., ServerMessage::Warning { code, message, .. }, _] = &heard.events[..] else {
            panic!("no warning before the end: {:?}", heard.events)
        };
        assert_eq!(code, expected, "{message}");
        assert!(!message.contains('/'), "{message}");
        assert_eq!(archive.get("test", &end.session_id).await.unwrap().is_some(), is_kept);
        archive.close().await.unwrap();
    };
    check(Limits { audio_bytes: 40_000, ..Limits::default() }, "audio_lost", true).await;
    check(Limits { backlog_bytes: 10, ..Limits::default() }, "not_kept", false).await;
}

#[tokio::test]
async fn a_server_without_an_archive_refuses_to_keep() {
    let stage = Stage::new(Scripted::working()).await;
    let config = SessionConfig { retention: Retention::Forever, ..without_vad() };
    match stage.try_open(config).await {
        Err(Refusal::Rejected(error)) => assert_eq!(error.param.as_deref(), Some("retention")),
        other => panic!("it was taken: {:?}", other.map(|_| ())),
    }
}
