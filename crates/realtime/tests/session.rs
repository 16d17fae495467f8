//! What a session promises its client, tried through the worker's own port.

mod support;

use std::time::Duration;

use dalston_protocol::{
    Close, CloseCode, ErrorCode,
    realtime::{ClientMessage, ConfigUpdate, FinalCause, Retention, ServerMessage, SessionConfig},
};
use dalston_realtime::RealtimeConfig;
use dalston_session_router::link::{Departure, FromWorker, Refusal, ToWorker};
use dalston_store::{Archive, Limits};
use dalston_telemetry::SessionOutcome;
use support::{Client, Deed, Heard, Scripted, Stage, noise, speech, without_vad};
use tokio::task::JoinHandle;

fn chunks(audio: Vec<u8>, size: usize) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let count = audio.len().div_ceil(size);
    (0..count).map(move |i| audio[i * size..audio.len().min((i + 1) * size)].to_vec())
}

async fn stream(stage: &Stage, config: SessionConfig, audio: Vec<u8>, size: usize) -> Heard {
    stage.open(config).await.stream(chunks(audio, size)).await
}

/// Sends it at the pace of speech.
fn live(client: &Client, audio: Vec<u8>) -> JoinHandle<()> {
    let sender = client.channel.to_worker.clone();
    tokio::spawn(async move {
        for chunk in chunks(audio, 3_200) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if sender.send(ToWorker::Audio(chunk.into())).await.is_err() {
                return;
            }
        }
    })
}

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
async fn a_flush_is_answered_with_its_id_whether_or_not_something_was_said() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    client.say(ClientMessage::Flush { id: Some("empty".into()) }).await;
    client.audio(noise(1.0)).await;
    client.say(ClientMessage::Flush { id: Some("full".into()) }).await;
    client.say(ClientMessage::Flush { id: None }).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let answers: Vec<String> = heard
        .events
        .iter()
        .filter_map(|event| match event {
            ServerMessage::Flushed { id } => Some(format!("flushed {id:?}")),
            ServerMessage::Final(said) => {
                Some(format!("final {:?} {:?} {:.1}", said.id, said.cause, said.end - said.start))
            }
            _ => None,
        })
        .collect();
    let expected =
        [r#"flushed Some("empty")"#, r#"final Some("full") Flush 1.0"#, "flushed None", "final None End 0.5"];
    assert_eq!(answers, expected);
}

/// What answered flushes, in order.
fn answers(heard: &Heard) -> Vec<String> {
    let answer = |event: &ServerMessage| match event {
        ServerMessage::Flushed { id } => Some(format!("flushed {id:?}")),
        ServerMessage::Final(said) => Some(format!("final {:?} {:?}", said.id, said.channel)),
        ServerMessage::Error { code, .. } => Some(format!("{code:?}")),
        _ => None,
    };
    heard.events.iter().filter_map(answer).collect()
}

#[tokio::test]
async fn a_flush_is_answered_also_when_the_engine_fails_at_it() {
    let stage = Stage::new(Scripted::failing_to_finish(1)).await;
    let client = stage.open(without_vad()).await;
    for id in ["lost", "found"] {
        client.audio(noise(0.5)).await;
        client.say(ClientMessage::Flush { id: Some(id.into()) }).await;
    }
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    assert_eq!(answers(&heard), ["EngineFailed", r#"flushed Some("lost")"#, r#"final Some("found") None"#]);
}

#[tokio::test]
async fn a_flush_of_two_channels_has_finals_or_one_flushed_and_not_both() {
    let stage = Stage::new(Scripted::working()).await;
    let tone = noise(1.0);
    let on = |left: bool, right: bool| -> Vec<u8> {
        let sample = |is_on: bool, pair: &[u8]| if is_on { [pair[0], pair[1]] } else { [0, 0] };
        tone.chunks(2).flat_map(|pair| [sample(left, pair), sample(right, pair)].concat()).collect()
    };
    let client = stage.open(SessionConfig { channels: 2, ..without_vad() }).await;
    for (id, left, right) in
        [("none", None, None), ("left", Some(true), Some(false)), ("right", Some(false), Some(true))]
    {
        if let (Some(left), Some(right)) = (left, right) {
            client.audio(on(left, right)).await;
        }
        client.say(ClientMessage::Flush { id: Some(id.into()) }).await;
    }
    client.audio(on(false, false)).await;
    client.say(ClientMessage::Flush { id: Some("noise".into()) }).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    // A channel of silence is an utterance of which the engine makes nothing. Neither channel waits for the other.
    let mut answers = answers(&heard);
    answers.sort();
    let expected = [
        r#"final Some("left") Some(0)"#,
        r#"final Some("right") Some(1)"#,
        r#"flushed Some("noise")"#,
        r#"flushed Some("none")"#,
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn clear_throws_away_what_was_not_final() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    client.audio(noise(1.0)).await;
    client.say(ClientMessage::Clear).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let [said] = heard.finals()[..] else { panic!("one final, not {:?}", heard.finals()) };
    assert!(said.text.starts_with("8000:"), "{}", said.text);
    assert_eq!((said.start, said.end), (1.0, 1.5), "the clock goes on");
}

#[tokio::test]
async fn clear_keeps_the_clock_also_inside_a_frame() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    for chunk in chunks(noise(0.9), 320) {
        client.audio(chunk).await;
        client.say(ClientMessage::Clear).await;
    }
    client.audio(noise(1.0)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let [said] = heard.finals()[..] else { panic!("one final, not {:?}", heard.finals()) };
    assert_eq!((said.start, said.end), (0.9, 1.9));
    assert_eq!(heard.session_end().map(|end| end.total_audio_seconds), Some(1.9));
}

#[tokio::test]
async fn a_config_message_changes_the_language_of_the_next_utterance() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    let language =
        |code: &str| ClientMessage::Config(ConfigUpdate { language: Some(code.into()), ..ConfigUpdate::default() });
    client.say(language("fr")).await;
    client.say(language("de")).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    assert_eq!(heard.finals()[0].language, "de");
    let refused = heard.count(|e| {
        matches!(e, ServerMessage::Error { code: ErrorCode::LanguageNotSupported, recoverable: true, message, .. }
            if message.contains("fr"))
    });
    assert_eq!(refused, 1, "{:?}", heard.events);
}

#[tokio::test]
async fn an_utterance_keeps_the_language_it_began_in() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(SessionConfig { language: "en".into(), ..without_vad() }).await;
    client.audio(noise(0.5)).await;
    let update = ConfigUpdate { language: Some("de".into()), ..ConfigUpdate::default() };
    client.say(ClientMessage::Config(update)).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::Flush { id: None }).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let languages: Vec<&str> = heard.finals().iter().map(|said| said.language.as_str()).collect();
    assert_eq!(languages, ["en", "de"]);
}

#[tokio::test]
async fn a_language_that_is_no_code_ends_the_session_naming_the_field() {
    let stage = Stage::new(Scripted::working()).await;
    for language in ["", "x y\0", &"x".repeat(1000)] {
        let client = stage.open(without_vad()).await;
        let update = ConfigUpdate { language: Some(language.into()), ..ConfigUpdate::default() };
        client.say(ClientMessage::Config(update)).await;
        let heard = client.rest().await;
        assert_eq!(heard.close.code, CloseCode::BadRequest, "{language:?}");
        assert!(heard.close.reason.contains("language"), "{}", heard.close.reason);
    }
}

#[tokio::test]
async fn a_bad_config_message_ends_the_session_naming_the_field() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    let update = ConfigUpdate { endpointing_ms: Some(5), ..ConfigUpdate::default() };
    client.say(ClientMessage::Config(update)).await;
    let heard = client.rest().await;
    assert_eq!(heard.close.code, CloseCode::BadRequest);
    assert!(heard.close.reason.contains("endpointing_ms"), "{}", heard.close.reason);
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

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_warned_of_and_then_ends_the_session() {
    let stage = Stage::new(Scripted::engine(|_| Deed::Hang)).await;
    let client = stage.open(without_vad()).await;
    let live = live(&client, noise(60.0));
    let heard = client.rest().await;
    assert_eq!(heard.close.code, CloseCode::LagExceeded);
    let warnings = heard.count(|e| matches!(e, ServerMessage::Warning { code, .. } if code == "processing_lag"));
    assert!((3..=5).contains(&warnings), "{warnings} warnings between 3 s and 7 s of lag");
    assert!(matches!(
        heard.events.last(),
        Some(ServerMessage::Error { code: ErrorCode::LagExceeded, recoverable: false, .. })
    ));
    live.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_after_end_is_not_waited_for_for_ever() {
    let stage = Stage::new(Scripted::engine(|_| Deed::Hang)).await;
    let client = stage.open(without_vad()).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    let told = heard.count(|e| matches!(e, ServerMessage::Error { code: ErrorCode::EngineFailed, .. }));
    assert_eq!(told, 1, "{:?}", heard.events);
}

#[tokio::test(start_paused = true)]
async fn a_file_sent_at_full_speed_is_slowed_and_neither_lost_nor_ended() {
    // Eight times real time, as the default engine is: 100 ms of audio take 12 ms.
    let stage = Stage::new(Scripted::engine(|_| Deed::Take(Duration::from_millis(60)))).await;
    let heard = stream(&stage, without_vad(), noise(120.0), 32_000).await;
    assert_eq!(heard.close, Close::normal(), "{:?}", heard.events.last());
    assert_eq!(heard.samples(), 120 * 16_000);
}

/// A session whose utterance holds the engine's only stream.
async fn holding_the_stream(stage: &Stage) -> Client {
    let mut client = stage.open(SessionConfig { interim_results: true, ..without_vad() }).await;
    client.audio(noise(1.0)).await;
    while !matches!(client.next().await, FromWorker::Event(event) if matches!(*event, ServerMessage::Partial { .. })) {}
    client
}

fn warnings(heard: &Heard, wanted: &str) -> usize {
    heard.count(|e| matches!(e, ServerMessage::Warning { code, .. } if code == wanted))
}

#[tokio::test(start_paused = true)]
async fn audio_sent_ahead_of_real_time_waits_for_a_stream_and_nothing_of_it_is_lost() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(600))).await;
    // One that is held back, one that has sent everything before its turn comes.
    for seconds in [30_u32, 6] {
        let holder = holding_the_stream(&stage).await;
        let waiting = tokio::spawn(stage.open(without_vad()).await.stream(chunks(noise(f64::from(seconds)), 32_000)));
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(!waiting.is_finished());
        holder.say(ClientMessage::End).await;
        let heard = waiting.await.unwrap();
        assert_eq!(heard.close, Close::normal(), "{:?}", heard.events);
        assert_eq!(heard.samples(), u64::from(seconds) * 16_000);
        assert!((10..=12).contains(&warnings(&heard, "waiting_for_stream")), "{:?}", heard.events);
        assert_eq!(warnings(&heard, "processing_lag"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn live_audio_that_waits_for_a_stream_lags_and_then_ends_the_session() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(600))).await;
    let _holder = holding_the_stream(&stage).await;
    let client = stage.open(without_vad()).await;
    let live = live(&client, noise(60.0));
    let heard = client.rest().await;
    assert_eq!(heard.close.code, CloseCode::LagExceeded);
    assert!((3..=5).contains(&warnings(&heard, "processing_lag")), "{:?}", heard.events);
    live.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn live_audio_that_gets_its_turn_within_the_lag_budget_loses_nothing() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(600))).await;
    let holder = holding_the_stream(&stage).await;
    let client = stage.open(without_vad()).await;
    let sender = client.channel.to_worker.clone();
    let live = live(&client, noise(20.0));
    tokio::time::sleep(Duration::from_secs(6)).await;
    holder.say(ClientMessage::End).await;
    live.await.unwrap();
    sender.send(ToWorker::Message(Box::new(ClientMessage::End))).await.unwrap();
    let heard = client.rest().await;
    assert_eq!((heard.close.clone(), heard.samples()), (Close::normal(), 20 * 16_000), "{:?}", heard.events);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_in_vain_is_told_to_come_back() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(60))).await;
    let _holder = holding_the_stream(&stage).await;
    let heard = stream(&stage, without_vad(), noise(5.0), 32_000).await;
    assert_eq!(heard.close.code, CloseCode::NoCapacity);
    assert!(matches!(
        heard.events.last(),
        Some(ServerMessage::Error { code: ErrorCode::NoCapacity, retry_after: Some(_), recoverable: false, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_stream_beyond_its_deadline() {
    let stage = Stage::new(Scripted::pooled(0, Duration::from_secs(600))).await;
    let waiting = tokio::spawn(stage.open(without_vad()).await.stream(chunks(noise(5.0), 32_000)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let began = tokio::time::Instant::now();
    stage.drain();
    waiting.await.unwrap();
    stage.worker.await.unwrap();
    assert!(began.elapsed() <= Duration::from_secs(31), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_channels_take_turns_at_one_stream() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(600))).await;
    let config = SessionConfig { channels: 2, ..without_vad() };
    let heard = stream(&stage, config, noise(60.0), 32_000).await;
    assert_eq!(heard.close, Close::normal(), "{:?}", heard.events.last());
    assert_eq!(heard.samples(), 60 * 16_000, "half of it on each channel");
}

#[tokio::test(start_paused = true)]
async fn a_flood_onto_a_hanging_engine_is_held_back() {
    let stage = Stage::new(Scripted::engine(|_| Deed::Hang)).await;
    let client = stage.open(without_vad()).await;
    let mut taken = 0;
    // A link that takes nothing for a second is full.
    while let Ok(Ok(())) =
        tokio::time::timeout(Duration::from_secs(1), client.channel.to_worker.send(ToWorker::Audio(noise(1.0).into())))
            .await
    {
        taken += 1;
    }
    assert!((10..=24).contains(&taken), "{taken} s of audio were taken from a client that floods");
    assert_eq!(client.rest().await.close.code, CloseCode::LagExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_closed() {
    let stage = Stage::new(Scripted::working()).await;
    let mut client = stage.open(without_vad()).await;
    let sender = client.channel.to_worker.clone();
    let flood = tokio::spawn(async move {
        loop {
            let flush = ToWorker::Message(Box::new(ClientMessage::Flush { id: None }));
            if sender.send(flush).await.is_err() {
                return;
            }
        }
    });
    flood.await.unwrap();
    let mut unread = 0;
    while let Some(message) = client.channel.from_worker.recv().await {
        unread += 1;
        if let FromWorker::Closed(close) = message {
            assert_eq!(close.code, CloseCode::Timeout);
        }
    }
    assert!(unread <= 40, "{unread} events were kept for a client that does not read");
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
