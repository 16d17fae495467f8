//! Sessions that may be resumed, as a client and a worker see them.

use dalston_protocol::realtime::{ResumeToken, Resumed, ServerMessage};
use dalston_session_router::link::{Departure, ToWorker};

use super::{Server, Session, transcript_at, wire::Client};

/// Bytes of a second of audio.
pub const SECOND: u64 = 32_000;

pub fn said(number: u64, start: f64, end: f64) -> ServerMessage {
    transcript_at(number, &format!("word{number}"), start, end)
}

pub fn number(event: &ServerMessage) -> Option<&str> {
    match event {
        ServerMessage::Final(said) => Some(&said.utterance_id),
        _ => None,
    }
}

/// A session that may be resumed, and the token for it.
pub async fn begun(server: &mut Server, headers: &[(&'static str, &str)]) -> (Client, Session, ResumeToken) {
    let client = server.connect_with("?resumable=true", headers).await;
    begins(server, client).await
}

/// The same, of a client that has just asked for it.
pub async fn begins(server: &mut Server, mut client: Client) -> (Client, Session, ResumeToken) {
    let session = server.session().await;
    let ServerMessage::SessionBegin { resume: Some(offer), resumed: None, .. } = client.event().await else {
        panic!("no token")
    };
    assert_eq!(offer.token.session_id(), &session.offer.session_id);
    (client, session, offer.token)
}

/// … of which so many seconds of audio have come, and the first five are answered for by `utt_1`.
pub async fn answered(server: &mut Server, seconds: u64) -> (Client, Session, ResumeToken) {
    let (mut client, mut session, token) = begun(server, &[]).await;
    answer(&mut client, &mut session, seconds).await;
    (client, session, token)
}

/// So many seconds of audio come, and the first five are answered for by `utt_1`.
pub async fn answer(client: &mut Client, session: &mut Session, seconds: u64) {
    send(client, session, seconds).await;
    session.send(said(1, 1.0, 5.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_1"));
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 3 * SECOND });
}

pub async fn send(client: &mut Client, session: &mut Session, seconds: u64) {
    client.audio(vec![1; (seconds * SECOND) as usize]).await;
    let mut came = 0;
    while came < seconds * SECOND {
        match session.next().await {
            Some(ToWorker::Audio(audio)) => came += audio.len() as u64,
            other => panic!("{other:?}"),
        }
    }
}

pub fn query(token: &ResumeToken, received: u64, last: Option<&str>) -> String {
    let last = last.map(|last| format!("&last_final={last}")).unwrap_or_default();
    format!("?resume={}&received={received}{last}", String::from(token.clone()))
}

pub async fn resumed(client: &mut Client) -> Resumed {
    match client.event().await {
        ServerMessage::SessionBegin { resumed: Some(resumed), resume: Some(_), .. } => resumed,
        other => panic!("{other:?}"),
    }
}

/// The worker is told that another one has the session.
pub async fn is_let_go(mut session: Session) {
    let (_, last) = session.audio().await;
    assert_eq!(last, Some(ToWorker::Gone(Departure::MOVED)));
}

pub async fn is_gone(server: &Server, token: &ResumeToken) {
    let refusal = server.connect(&query(token, 0, None)).await.refusal().await;
    assert_eq!(refusal, ("session_gone".to_owned(), 4404));
}
