//! What a session promises its client, tried through the worker's own port.

mod support;

use dalston_protocol::{
    Close, CloseCode, ErrorCode,
    realtime::{ClientMessage, FinalCause, ServerMessage, SessionConfig},
};
use dalston_realtime::RealtimeConfig;
use dalston_session_router::link::{Refusal, ToWorker};
use support::{Deed, Heard, Scripted, Stage, chunks, noise, speech, stream, without_vad};

#[tokio::test]
async fn what_was_sent_is_what_the_engine_heard() {
    let stage = Stage::new(Scripted::working()).await;
    let heard = stream(&stage, without_vad(), noise(2.0), 3_200).await;
    let [said] = heard.finals()[..] else { panic!("one final, not {:?}", heard.finals()) };
    assert!(said.text.starts_with("32000:"), "{}", said.text);
    assert_eq!((said.start, said.end, said.cause), (0.0, 2.0, FinalCause::End));
    let end = heard.session_end().expect("the last event is session.end");
    assert_eq!((end.total_audio_seconds, end.transcript.as_str()), (2.0, said.text.as_str()));
    assert_eq!(heard.close, Close::normal());
    assert!(matches!(heard.events[0], ServerMessage::SessionBegin { .. }));
}

#[tokio::test]
async fn any_chunking_gives_the_same_events_but_partials() {
    let stage = Stage::new(Scripted::working()).await;
    let config = SessionConfig { interim_results: false, word_timestamps: true, ..SessionConfig::default() };
    let mut all = Vec::new();
    for size in [1, 7, 641, 3_200, 1 << 20] {
        // One byte a message is slow in a debug build, so it gets the first sentence only, as the others do then.
        let mut audio = speech();
        audio.truncate(16_000 * 2 * 6);
        let mut heard = stream(&stage, config.clone(), audio, size).await;
        // Events of one kind are in order; a final comes when the recogniser is done, which may be after the next start.
        heard.events.sort_by_key(|event| matches!(event, ServerMessage::Final(_)));
        heard.events.retain(|e| !matches!(e, ServerMessage::SessionBegin { .. } | ServerMessage::SessionEnd(_)));
        assert!(!heard.finals().is_empty(), "the recording has speech");
        all.push((size, heard.events));
    }
    for (size, events) in &all[1..] {
        assert_eq!(events, &all[0].1, "chunks of {size} bytes");
    }
}

#[tokio::test]
async fn finals_are_in_order_and_speech_is_parted_at_its_pauses() {
    let stage = Stage::new(Scripted::working()).await;
    let heard = stream(&stage, SessionConfig::default(), speech(), 3_200).await;
    let finals = heard.finals();
    assert!(finals.len() >= 3, "four sentences with pauses gave {} finals", finals.len());
    for pair in finals.windows(2) {
        assert!(pair[0].end <= pair[1].start && pair[0].start < pair[0].end, "{pair:?}");
    }
    let starts = heard.count(|e| matches!(e, ServerMessage::SpeechStart { .. }));
    let ends = heard.count(|e| matches!(e, ServerMessage::SpeechEnd { .. }));
    assert_eq!((starts, ends), (finals.len(), finals.len()));
    assert!(heard.count(|e| matches!(e, ServerMessage::Partial { .. })) >= finals.len());
}

#[tokio::test]
async fn silence_says_nothing() {
    let stage = Stage::new(Scripted::working()).await;
    let heard = stream(&stage, SessionConfig::default(), vec![0; 32_000 * 10], 3_200).await;
    assert_eq!(heard.events.len(), 2, "session.begin and session.end only: {:?}", heard.events);
    assert_eq!(heard.session_end().unwrap().total_audio_seconds, 10.0);
}

#[tokio::test]
async fn every_encoding_and_rate_keeps_the_clock() {
    let stage = Stage::new(Scripted::working()).await;
    for (encoding, width) in [("pcm_s16le", 2), ("pcm_f32le", 4), ("mulaw", 1), ("alaw", 1)] {
        for rate in [8_000, 11_025, 16_000, 44_100, 48_000] {
            let config = SessionConfig { encoding: encoding.into(), sample_rate: rate, ..without_vad() };
            let heard = stream(&stage, config, vec![0x3e; width * rate as usize * 2], 1_000).await;
            let [said] = heard.finals()[..] else { panic!("one final for {encoding} at {rate}") };
            assert!((said.end - 2.0).abs() <= 0.02, "{encoding} at {rate}: ends at {}", said.end);
            assert_eq!(heard.session_end().unwrap().total_audio_seconds, 2.0, "{encoding} at {rate}");
        }
    }
}

#[tokio::test]
async fn each_channel_is_heard_by_itself() {
    let stage = Stage::new(Scripted::working()).await;
    let left = speech();
    let stereo: Vec<u8> = left.chunks(2).flat_map(|sample| [sample[0], sample[1], 0, 0]).collect();
    let config = SessionConfig { channels: 2, ..SessionConfig::default() };
    let heard = stream(&stage, config, stereo, 6_400).await;
    assert!(heard.finals().len() >= 3);
    assert!(heard.finals().iter().all(|said| said.channel == Some(0)), "the right channel is silent");
    let mono = stream(&stage, SessionConfig::default(), left, 3_200).await;
    let texts = |heard: &Heard| heard.finals().iter().map(|said| said.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&heard), texts(&mono));
}

#[tokio::test]
async fn a_client_that_vanishes_is_answered_for_what_it_sent() {
    let stage = Stage::new(Scripted::working()).await;
    let mut client = stage.open(without_vad()).await;
    client.audio(noise(1.0)).await;
    let (nowhere, _) = tokio::sync::mpsc::channel(1);
    client.channel.to_worker = nowhere;
    let heard = client.rest().await;
    assert!(heard.finals()[0].text.starts_with("16000:"));
    assert!(heard.session_end().is_some());
}

#[tokio::test]
async fn a_drain_answers_what_was_received_and_says_come_back() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    for chunk in chunks(noise(0.8), 3_200) {
        client.audio(chunk).await;
    }
    stage.drain();
    let heard = client.rest().await;
    assert_eq!(heard.close.code, CloseCode::Restart);
    assert!(heard.finals()[0].text.starts_with("12800:"), "{:?}", heard.finals());
    assert!(heard.session_end().is_some());
    stage.worker.await.unwrap();
}

#[tokio::test]
async fn a_worker_that_drains_or_is_full_refuses() {
    let config = RealtimeConfig { max_sessions: 1, ..RealtimeConfig::default() };
    let stage = Stage::with(Scripted::working(), config).await;
    let first = stage.open(SessionConfig::default()).await;
    assert!(matches!(stage.try_open(SessionConfig::default()).await, Err(Refusal::Full)));
    stage.drain();
    // The open session ends by the drain, and until then offers are refused.
    let refused = stage.try_open(SessionConfig::default()).await;
    assert!(matches!(refused, Err(Refusal::Draining | Refusal::Full | Refusal::Unreachable(_))));
    assert_eq!(first.rest().await.close.code, CloseCode::Restart);
}

#[tokio::test]
async fn a_model_or_language_that_is_not_there_is_refused_by_name() {
    let stage = Stage::new(Scripted::working()).await;
    for (config, param) in [
        (SessionConfig { model: Some("whisper".into()), ..SessionConfig::default() }, "model"),
        (SessionConfig { language: "fr".into(), ..SessionConfig::default() }, "language"),
    ] {
        match stage.try_open(config).await {
            Err(Refusal::Rejected(error)) => assert_eq!(error.param.as_deref(), Some(param)),
            other => panic!("{param} was taken: {:?}", other.map(|_| ())),
        }
    }
    let named = SessionConfig { model: Some("scripted/test".into()), language: "DE".into(), ..without_vad() };
    assert!(stage.try_open(named).await.is_ok());
}

#[tokio::test]
async fn an_engine_that_fails_loses_one_utterance_and_says_which() {
    let stage = Stage::new(Scripted::engine(|call| if call == 1 { Deed::Fail } else { Deed::Work })).await;
    lost_and_found(&stage).await;
}

#[tokio::test]
async fn an_engine_that_panics_loses_one_utterance_and_says_which() {
    let stage = Stage::new(Scripted::engine(|call| if call == 1 { Deed::Panic } else { Deed::Work })).await;
    lost_and_found(&stage).await;
}

async fn lost_and_found(stage: &Stage) {
    let client = stage.open(without_vad()).await;
    for _ in 0..2 {
        client.audio(noise(1.0)).await;
        client.say(ClientMessage::Flush { id: None }).await;
    }
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let told = heard.count(|e| {
        matches!(e, ServerMessage::Error { code: ErrorCode::EngineFailed, recoverable: true, message, .. }
            if message.contains("utt_1"))
    });
    assert_eq!(told, 1, "{:?}", heard.events);
    assert!(heard.finals()[0].text.starts_with("16000:"));
    assert_eq!(heard.close, Close::normal());
}

#[tokio::test]
async fn an_engine_that_always_fails_ends_the_session_and_no_other() {
    let stage = Stage::new(Scripted::engine(|_| Deed::Fail)).await;
    let client = stage.open(without_vad()).await;
    for _ in 0..3 {
        client.audio(noise(0.5)).await;
        client.say(ClientMessage::Flush { id: None }).await;
    }
    let heard = client.rest().await;
    assert_eq!(heard.close.code, CloseCode::Internal);
    assert!(heard.close.reason.contains("again and again"), "{}", heard.close.reason);
    assert!(stage.try_open(SessionConfig::default()).await.is_ok(), "the worker lives");
}

#[tokio::test]
async fn a_gateway_may_end_the_session_with_its_own_reason() {
    let stage = Stage::new(Scripted::working()).await;
    for (code, answered) in [(CloseCode::Timeout, true), (CloseCode::BadRequest, false)] {
        let client = stage.open(without_vad()).await;
        client.audio(noise(0.5)).await;
        let close = Close::new(code, "because");
        client.channel.to_worker.send(ToWorker::Close(Box::new(close.clone()))).await.unwrap();
        let heard = client.rest().await;
        assert_eq!(heard.close, close);
        assert_eq!(!heard.finals().is_empty(), answered, "{code:?}");
    }
}

#[tokio::test]
async fn a_session_at_its_longest_duration_is_answered_for_what_it_received() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    client.audio(noise(1.0)).await;
    let close = Close::new(CloseCode::RateLimited, "a session may last 1 s; connect again");
    client.channel.to_worker.send(ToWorker::Close(Box::new(close.clone()))).await.unwrap();
    let heard = client.rest().await;
    assert_eq!((heard.close.clone(), heard.samples()), (close, 16_000), "{:?}", heard.events);
    assert_eq!(heard.session_end().map(|end| end.total_audio_seconds), Some(1.0));
}
