//! How far a session says that its audio is answered for: what another worker would have to hear again.

mod support;

use std::time::Duration;

use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig};
use support::{Heard, Scripted, Stage, noise, speech, stream, without_vad};

/// It only goes forward, and no final reaches back behind it.
fn is_honest(heard: &Heard) {
    assert!(heard.settled.windows(2).all(|pair| pair[0].1 < pair[1].1), "{:?}", heard.settled);
    for (events_before, settled) in &heard.settled {
        for event in &heard.events[*events_before..] {
            if let ServerMessage::Final(said) = event {
                // Rounded to a millisecond.
                let start = Duration::from_secs_f64(said.start + 0.001);
                assert!(start >= *settled, "{} begins at {start:?}, before {settled:?}", said.utterance_id);
            }
        }
    }
}

#[tokio::test]
async fn what_is_settled_is_never_heard_of_again() {
    let stage = Stage::new(Scripted::working()).await;
    let heard = stream(&stage, SessionConfig::default(), speech(), 640).await;
    assert!(heard.finals().len() > 1);
    is_honest(&heard);
    let (_, last) = heard.settled.last().expect("it says how far it is");
    let end = heard.session_end().unwrap().total_audio_seconds;
    assert!(last.as_secs_f64() > end - 3.0, "{last:?} of {end} s");
}

#[tokio::test]
async fn a_final_settles_what_it_covers_and_the_slower_channel_has_the_say() {
    let stage = Stage::new(Scripted::working()).await;
    let client = stage.open(without_vad()).await;
    client.audio(noise(1.0)).await;
    client.say(ClientMessage::Flush { id: None }).await;
    client.audio(noise(0.5)).await;
    client.say(ClientMessage::End).await;
    let heard = client.rest().await;
    is_honest(&heard);
    assert_eq!(heard.finals().len(), 2);
    let first = heard.events.iter().position(|event| matches!(event, ServerMessage::Final(_))).unwrap();
    let after_first = heard.settled.iter().find(|(events, _)| *events > first).expect("the final is followed by it");
    assert_eq!(after_first.1, Duration::from_secs(1));

    // Channel 0 is silent, channel 1 speaks all the time: what it says is not settled before its final.
    let pairs = noise(3.0).chunks(2).flat_map(|sample| [0, 0, sample[0], sample[1]]).collect();
    let heard = stream(&stage, SessionConfig { channels: 2, ..without_vad() }, pairs, 3_200).await;
    is_honest(&heard);
}

#[tokio::test]
async fn silence_is_settled_as_it_passes() {
    let stage = Stage::new(Scripted::working()).await;
    let heard = stream(&stage, SessionConfig::default(), vec![0; 16_000 * 2 * 10], 3_200).await;
    assert!((8..=11).contains(&heard.settled.len()), "about once a second: {:?}", heard.settled);
    is_honest(&heard);
}
