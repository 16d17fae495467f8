//! Loopback is held to what every streaming engine is held to, and does what it is told to beside that.

use std::time::Duration;

use dalston_engine_loopback::Loopback;
use dalston_engine_sdk::conformance::{CLAIMS, Subject};
use dalston_engine_sdk::{EngineError, StreamOptions, StreamingEngine};
use tokio::time::{Instant, timeout};

/// Loud enough to be words; another seed gives other words.
fn noise(seconds: u32, seed: u32) -> Vec<i16> {
    (0..seconds * 16_000).map(|i| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 18) as i16).collect()
}

fn behaving(text: &str) -> Loopback {
    Loopback::new(text.parse().expect("a behaviour"))
}

#[tokio::test(start_paused = true)]
async fn every_claim_holds() {
    for behaviour in ["", "delay=20ms,delay_per_second=500ms"] {
        let engine = behaving(behaviour);
        let subject = Subject {
            engine: &engine,
            options: StreamOptions { language: "en".into(), ..StreamOptions::default() },
            utterances: [noise(2, 1), noise(3, 7)],
        };
        for (name, claim) in CLAIMS {
            println!("{name} ({behaviour})");
            claim(&subject).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_takes_the_time_it_is_told_to() {
    let engine = behaving("delay=20ms,delay_per_second=500ms");
    let mut recognizer = engine.open(StreamOptions::default()).expect("a stream");
    let began = Instant::now();
    recognizer.accept(&noise(2, 1), false).await.expect("accepted");
    assert_eq!(began.elapsed(), Duration::from_millis(1020));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_or_a_stall_the_next_utterance_is_heard() {
    let engine = behaving("error_every=2,stall_every=3");
    let mut recognizer = engine.open(StreamOptions::default()).expect("a stream");
    let audio = noise(1, 1);
    recognizer.accept(&audio, false).await.expect("the first is heard");
    let words = recognizer.finish().await.expect("the first has words");
    assert!(matches!(recognizer.accept(&audio, false).await, Err(EngineError::Failed(_))), "the second fails");
    let stalled = timeout(Duration::from_secs(3600), recognizer.accept(&audio, false)).await;
    assert!(stalled.is_err(), "the third hangs");
    recognizer.reset();
    assert!(recognizer.accept(&audio, false).await.is_err(), "the fourth fails");
    recognizer.accept(&audio, false).await.expect("the fifth is heard");
    assert_eq!(recognizer.finish().await, Ok(words));
}

#[tokio::test]
#[should_panic(expected = "loopback was told to")]
async fn it_panics_when_told_to() {
    let engine = behaving("panic_every=1");
    let mut recognizer = engine.open(StreamOptions::default()).expect("a stream");
    let _never = recognizer.accept(&noise(1, 1), false).await;
}
