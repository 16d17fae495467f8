//! What clients should not send, sent.

mod support;

use dalston_protocol::{CloseCode, realtime::ClientMessage};
use dalston_session_router::link::ToWorker;
use dalston_telemetry::SessionOutcome;
use support::{
    Server,
    wire::{frame, read_frames},
};
use tokio::io::AsyncWriteExt;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// Sends the bytes of one bad client; gives the texts and the close code it got, and what the worker was told.
async fn check(bytes: &[u8], code: u16, outcome: SessionOutcome, said: &str) {
    let mut server = Server::start("").await;
    let mut client = server.connect_raw("").await;
    let mut session = server.session().await;
    client.write_all(bytes).await.expect("the server reads on, up to its close");
    let (texts, closed) = read_frames(&mut client).await;
    assert_eq!(closed, Some(code), "{texts:?}");
    let last = texts.last().map_or("", String::as_str);
    assert!(last.contains(said), "{last} does not say {said}");
    let Some(ToWorker::Close(close)) = session.next().await else { panic!("the worker is not dismissed") };
    assert!(matches!(close.code, CloseCode::BadRequest | CloseCode::TooLarge | CloseCode::RateLimited), "{close:?}");
    session.close(*close).await;
    drop(client);
    server.ended_once(outcome).await;
    assert_eq!(server.used().await, 0);
    server.stop().await;
}

#[tokio::test]
async fn text_for_binary_is_4400() {
    check(&frame(TEXT, b"UklGRiQAAABXQVZF"), 4400, SessionOutcome::BadRequest, "JSON object").await;
}

#[tokio::test]
async fn an_unknown_type_is_4400_and_named() {
    check(&frame(TEXT, br#"{"type":"stop"}"#), 4400, SessionOutcome::BadRequest, "stop").await;
}

#[tokio::test]
async fn a_megabyte_of_text_is_1009_and_the_close_is_read_all_the_same() {
    // Longer than every limit: the rest of it is still under way when the close frame is sent.
    let text = format!(r#"{{"type":"flush","id":"{}"}}"#, "x".repeat(4 << 20));
    check(&frame(TEXT, text.as_bytes()), 1009, SessionOutcome::TooLarge, "too_large").await;
    // Fits a message, but not a text message.
    let text = format!(r#"{{"type":"flush","id":"{}"}}"#, "x".repeat(100_000));
    check(&frame(TEXT, text.as_bytes()), 1009, SessionOutcome::TooLarge, "too_large").await;
}

#[tokio::test]
async fn too_much_audio_in_one_message_is_1009_however_it_is_cut() {
    check(&frame(BINARY, &vec![0; (1 << 20) + 1]), 1009, SessionOutcome::TooLarge, "too_large").await;
    let mut fragments = frame(0x02, &vec![0; 700_000]);
    fragments.extend(frame(0x80, &vec![0; 700_000]));
    check(&fragments, 1009, SessionOutcome::TooLarge, "too_large").await;
}

#[tokio::test]
async fn a_length_that_lies_is_1009_at_once() {
    let huge = [&[BINARY, 0xFF][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    check(&huge, 1009, SessionOutcome::TooLarge, "too_large").await;
}

#[tokio::test]
async fn deep_json_is_4400() {
    let deep = format!(r#"{{"type":"end","x":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    check(&frame(TEXT, deep.as_bytes()), 4400, SessionOutcome::BadRequest, "recursion").await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    check(&frame(TEXT, &[0xFF, 0xFE, 0x80]), 1007, SessionOutcome::BadRequest, "session.begin").await;
}

#[tokio::test]
async fn against_the_protocol_is_1002() {
    let unmasked = [BINARY, 1, 0];
    check(&unmasked, 1002, SessionOutcome::BadRequest, "session.begin").await;
    let reserved_bit = frame(0x40 | BINARY, b"x");
    check(&reserved_bit, 1002, SessionOutcome::BadRequest, "session.begin").await;
    let continuation_of_nothing = frame(0x80, b"x");
    check(&continuation_of_nothing, 1002, SessionOutcome::BadRequest, "session.begin").await;
    let unknown_opcode = frame(0x83, b"x");
    check(&unknown_opcode, 1002, SessionOutcome::BadRequest, "session.begin").await;
}

#[tokio::test]
async fn a_flood_of_messages_is_4429() {
    let keepalives = frame(TEXT, br#"{"type":"keepalive"}"#).repeat(500);
    check(&keepalives, 4429, SessionOutcome::RateLimited, "rate_limited").await;
    let pings = frame(0x89, b"").repeat(500);
    check(&pings, 4429, SessionOutcome::RateLimited, "rate_limited").await;
}

#[tokio::test]
async fn odd_bytes_empty_frames_and_a_hundred_thousand_fragments_are_audio() {
    let mut server = Server::start("").await;
    let mut client = server.connect_raw("").await;
    let mut session = server.session().await;
    let sending = tokio::spawn(async move {
        let mut bytes = frame(BINARY, &[1, 2, 3]);
        bytes.extend(frame(BINARY, &[]));
        bytes.extend(frame(BINARY, &[4]));
        bytes.extend(frame(0x02, &[5]));
        for n in 0..100_000_u32 {
            bytes.extend(frame(0x00, &[n as u8]));
        }
        // A ping may come between fragments.
        bytes.extend(frame(0x89, b"there?"));
        bytes.extend(frame(0x80, &[6]));
        bytes.extend(frame(TEXT, br#"{"type":"end"}"#));
        client.write_all(&bytes).await.unwrap();
        client
    });
    let (audio, then) = session.audio().await;
    let mut expected = vec![1, 2, 3, 4, 5];
    expected.extend((0..100_000_u32).map(|n| n as u8));
    expected.push(6);
    assert!(audio == expected, "{} bytes for {}", audio.len(), expected.len());
    assert!(matches!(then, Some(ToWorker::Message(message)) if *message == ClientMessage::End));
    session.finish().await;
    let (_, closed) = read_frames(&mut sending.await.unwrap()).await;
    assert_eq!(closed, Some(1000));
}

#[tokio::test]
async fn audio_before_the_session_begins_is_not_lost() {
    let mut server = Server::start("").await;
    let mut client = server.connect_raw("").await;
    client.write_all(&frame(BINARY, &[9; 50_000])).await.unwrap();
    client.write_all(&frame(TEXT, br#"{"type":"end"}"#)).await.unwrap();
    let mut session = server.session().await;
    let (audio, then) = session.audio().await;
    assert_eq!((audio.len(), then.is_some()), (50_000, true));
}

#[tokio::test]
async fn what_comes_after_end_is_left_out() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.text(r#"{"type":"end"}"#).await;
    client.audio([1; 10]).await;
    client.text(r#"{"type":"flush"}"#).await;
    client.text(r#"{"type":"nonsense"}"#).await;
    assert!(matches!(session.next().await, Some(ToWorker::Message(message)) if *message == ClientMessage::End));
    session.finish().await;
    let (_, code, _) = client.rest().await;
    assert_eq!(code, 1000);
    server.ended_once(SessionOutcome::Completed).await;
}
