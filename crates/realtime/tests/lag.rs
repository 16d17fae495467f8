//! Engines that are slow, hang, or have no stream free, and clients that send or read at another pace: who waits, and how long.

mod support;

use std::time::Duration;

use dalston_protocol::{
    Close, CloseCode, ErrorCode,
    realtime::{ClientMessage, ServerMessage, SessionConfig},
};
use dalston_session_router::link::{FromWorker, ToWorker};
use support::{Client, Deed, Scripted, Stage, chunks, live, noise, stream, warnings, without_vad};

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

/// A session whose utterance holds the engine's only stream.
async fn holding_the_stream(stage: &Stage) -> Client {
    let mut client = stage.open(SessionConfig { interim_results: true, ..without_vad() }).await;
    client.audio(noise(1.0)).await;
    while !matches!(client.next().await, FromWorker::Event(event) if matches!(*event, ServerMessage::Partial { .. })) {}
    client
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
async fn two_channels_take_turns_at_one_stream() {
    let stage = Stage::new(Scripted::pooled(1, Duration::from_secs(600))).await;
    let config = SessionConfig { channels: 2, ..without_vad() };
    let heard = stream(&stage, config, noise(60.0), 32_000).await;
    assert_eq!(heard.close, Close::normal(), "{:?}", heard.events.last());
    assert_eq!(heard.samples(), 60 * 16_000, "half of it on each channel");
}
