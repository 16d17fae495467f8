//! A session that goes on at another worker says what it would have said at one: nothing twice, nothing lost, in order (RT2).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::Duration;

use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig, TranscriptFinal};
use dalston_session_router::link::{Departure, FromWorker, Progress, ToWorker};
use proptest::prelude::*;
use support::{Client, Scripted, Stage, chunks, speech, stream, without_vad};
use tokio::time::timeout;

const BYTES_PER_SECOND: usize = 32_000;
/// Far longer than anything takes on the tests' clock, which runs only while nobody works.
const IDLE: Duration = Duration::from_secs(1);

/// What a client has heard, whoever said it.
#[derive(Default)]
struct Heard {
    finals: Vec<TranscriptFinal>,
    begun: usize,
    transcript: Option<String>,
    speech: f64,
}

impl Heard {
    /// As a gateway passes it on.
    fn hear(&mut self, progress: &mut Progress, said: &FromWorker) {
        if !progress.counts(said) {
            return;
        }
        if let FromWorker::Event(event) = said {
            match &**event {
                ServerMessage::SessionBegin { .. } => self.begun += 1,
                ServerMessage::Final(said) => self.finals.push(said.clone()),
                ServerMessage::SessionEnd(end) => {
                    self.transcript = Some(end.transcript.clone());
                    self.speech = end.total_speech_duration;
                }
                _ => {}
            }
        }
    }

    /// What was heard, but for the silence before it: a detector that has heard less may find an onset a little later.
    fn sounds(&self) -> Vec<&str> {
        sounds(&self.finals)
    }
}

fn sounds<'t>(finals: impl IntoIterator<Item = &'t TranscriptFinal>) -> Vec<&'t str> {
    finals.into_iter().map(|said| said.text.split(':').nth(1).unwrap()).collect()
}

/// Where a worker dies: it has been sent so much, and so many of its messages have arrived.
#[derive(Debug, Clone, Copy)]
struct Death {
    sent: usize,
    heard: usize,
}

async fn open(stage: &Stage, config: &SessionConfig, progress: &Progress, sent: usize) -> (Client, usize) {
    if progress.moves() == 0 && sent == 0 {
        return (stage.open(config.clone()).await, 0);
    }
    let from = progress.from() as usize * BYTES_PER_SECOND;
    let replayed = Duration::from_secs_f64(sent.saturating_sub(from) as f64 / BYTES_PER_SECOND as f64);
    let continuation = progress.continuation(progress.from(), replayed, Duration::ZERO);
    (stage.continues(config.clone(), continuation).await, from)
}

/// A session whose workers die one after the other; the last one lives.
async fn moved(config: &SessionConfig, audio: &[u8], size: usize, deaths: &[Death]) -> Heard {
    let (mut heard, mut progress, mut sent) = (Heard::default(), Progress::new(config), 0);
    for death in deaths {
        let stage = Stage::new(Scripted::working()).await;
        let (mut client, from) = open(&stage, config, &progress, sent).await;
        sent = death.sent.max(sent);
        let sending = tokio::spawn({
            let (sender, piece) = (client.channel.to_worker.clone(), audio[from..sent.max(from)].to_vec());
            async move {
                for chunk in chunks(piece, size) {
                    let audio = ToWorker::Audio(chunk.into());
                    if sender.send(audio).await.is_err() {
                        return;
                    }
                }
            }
        });
        for _ in 0..death.heard {
            let Ok(said) = timeout(IDLE, client.next()).await else { break };
            heard.hear(&mut progress, &said);
        }
        sending.abort();
        drop(client);
        progress.moved();
    }
    let stage = Stage::new(Scripted::working()).await;
    let (mut client, from) = open(&stage, config, &progress, sent).await;
    let sender = client.channel.to_worker.clone();
    let rest = audio[from..].to_vec();
    let sending = tokio::spawn(async move {
        for chunk in chunks(rest, size) {
            let _ = sender.send(ToWorker::Audio(chunk.into())).await;
        }
        let end = ToWorker::Message(Box::new(ClientMessage::End));
        let _ = sender.send(end).await;
    });
    loop {
        let said = client.next().await;
        heard.hear(&mut progress, &said);
        if matches!(said, FromWorker::Closed(_)) {
            sending.await.unwrap();
            return heard;
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(future)
}

fn is_in_order(finals: &[TranscriptFinal]) {
    let number = |said: &TranscriptFinal| said.utterance_id[4..].parse::<u64>().unwrap();
    for pair in finals.windows(2) {
        assert!(pair[0].end <= pair[1].start && number(&pair[0]) < number(&pair[1]), "{pair:?}");
    }
}

fn death(length: usize) -> impl Strategy<Value = Death> {
    (0..length, prop_oneof![Just(usize::MAX), 0_usize..80]).prop_map(|(sent, heard)| Death { sent, heard })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The engine's words sum up what it heard from the first sound on, so equal words are equal sounds.
    #[test]
    fn wherever_workers_die_the_words_are_those_of_one_worker(
        deaths in prop::collection::vec(death(speech().len()), 1..3),
        size in prop_oneof![Just(640_usize), Just(3_200), 100_usize..8_000],
    ) {
        let config = SessionConfig::default();
        let alone = run(async { stream(&Stage::new(Scripted::working()).await, config.clone(), speech(), size).await });
        let heard = run(moved(&config, &speech(), size, &deaths));
        prop_assert_eq!(heard.sounds(), sounds(alone.finals()));
        for (heard, alone) in heard.finals.iter().zip(alone.finals()) {
            prop_assert!((heard.start - alone.start).abs() < 0.3 && (heard.end - alone.end).abs() < 0.1);
        }
        is_in_order(&heard.finals);
        // Of the utterance in which each worker died, the next one may find the onset as much later.
        let speech = alone.session_end().unwrap().total_speech_duration;
        let most = 0.3 * deaths.len() as f64;
        prop_assert!((heard.speech - speech).abs() < most, "{} s of speech, alone {speech} s", heard.speech);
        prop_assert_eq!(heard.begun, 1);
        let said: Vec<&str> = heard.finals.iter().map(|said| said.text.as_str()).collect();
        prop_assert_eq!(heard.transcript, Some(said.join(" ")));
    }

    /// Without silence to part utterances every sample counts: each is heard in exactly one of them.
    #[test]
    fn no_sample_is_lost_or_heard_twice_where_all_is_speech(deaths in prop::collection::vec(death(speech().len()), 1..3)) {
        let mut config = without_vad();
        config.endpointing.max_utterance_s = 3.0;
        let heard = run(moved(&config, &speech(), 3_200, &deaths));
        let alone = run(async { stream(&Stage::new(Scripted::working()).await, config, speech(), 3_200).await });
        let texts: Vec<&str> = heard.finals.iter().map(|said| said.text.as_str()).collect();
        prop_assert_eq!(texts, alone.finals().iter().map(|said| said.text.as_str()).collect::<Vec<_>>());
        is_in_order(&heard.finals);
    }
}

#[tokio::test]
async fn a_moved_session_counts_its_whole_audio_and_its_last_worker_forgets_it() {
    let stage = Stage::new(Scripted::working()).await;
    let config = SessionConfig::default();
    let mut progress = Progress::new(&config);
    let mut client = stage.open(config.clone()).await;
    for chunk in chunks(speech(), 3_200) {
        client.audio(chunk).await;
        while let Ok(said) = client.channel.from_worker.try_recv() {
            progress.counts(&said);
        }
    }
    while progress.from() < 5 {
        progress.counts(&client.next().await);
    }
    stage.drain();
    while client.next().await != FromWorker::Leaving {}
    let sender = client.channel.to_worker.clone();
    sender.send(ToWorker::Gone(Departure::MOVED)).await.unwrap();
    // Nothing more of the session: no transcript, and the close of the link only.
    loop {
        match client.next().await {
            FromWorker::Closed(_) => break,
            FromWorker::Event(event) => assert!(!matches!(*event, ServerMessage::SessionEnd(_)), "{event:?}"),
            FromWorker::Settled(_) | FromWorker::Spoken(_) | FromWorker::Leaving => {}
        }
    }

    let next = Stage::new(Scripted::working()).await;
    let continuation = progress.continuation(progress.from(), Duration::from_secs(5), Duration::ZERO);
    let client = next.continues(config, continuation).await;
    let rest = speech()[progress.from() as usize * BYTES_PER_SECOND..].to_vec();
    let heard = client.stream(chunks(rest, 3_200)).await;
    let end = heard.session_end().expect("it said `end`");
    assert!((end.total_audio_seconds - speech().len() as f64 / 32_000.0).abs() < 0.001, "{}", end.total_audio_seconds);
}
