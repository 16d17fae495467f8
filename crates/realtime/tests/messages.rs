//! What a client may say between its audio, and how it is answered.

mod support;

use dalston_protocol::{
    CloseCode, ErrorCode,
    realtime::{ClientMessage, ConfigUpdate, ServerMessage, SessionConfig},
};
use support::{Heard, Scripted, Stage, chunks, noise, without_vad};

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
