//! Sessions as a client sees them.

use std::time::Duration;

use dalston_client::{Event, Events, Sink, StreamClient};
use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig, SessionEnd, TranscriptFinal};
use tokio::task::JoinHandle;

use crate::server::Server;

/// How long a test waits for the next event.
const PATIENCE: Duration = Duration::from_secs(30);
/// Seconds by which the speech of a session may differ for each time that it went on elsewhere: the utterance that was open
/// is heard anew, by a detector that has heard two seconds before and may find its onset as much later as the audio that is
/// kept from before one (`prefix_padding_ms`).
const ONSET: f64 = 0.3;

/// What a session said, to its close.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Every event, in order.
    pub events: Vec<ServerMessage>,
    /// The close code.
    pub code: u16,
    /// The close reason.
    pub reason: String,
}

impl Heard {
    /// The finals, in the order they came.
    pub fn finals(&self) -> Vec<&TranscriptFinal> {
        let mut finals = Vec::new();
        for event in &self.events {
            if let ServerMessage::Final(said) = event {
                finals.push(said);
            }
        }
        finals
    }

    /// The session's id and trace, from `session.begin`.
    pub fn begin(&self) -> (&str, Option<&str>) {
        match self.events.first() {
            Some(ServerMessage::SessionBegin { session_id, trace_id, .. }) => {
                (session_id.as_str(), trace_id.as_deref())
            }
            other => panic!("the first event is not session.begin but {other:?}"),
        }
    }

    /// What the finals say.
    pub fn texts(&self) -> Vec<&str> {
        self.finals().into_iter().map(|said| said.text.as_str()).collect()
    }

    /// Whether there was a `warning` with this code.
    pub fn warned_of(&self, wanted: &str) -> bool {
        self.events.iter().any(|event| matches!(event, ServerMessage::Warning { code, .. } if code == wanted))
    }

    /// `session.end`, which comes last.
    pub fn end(&self) -> &SessionEnd {
        match self.events.last() {
            Some(ServerMessage::SessionEnd(end)) => end,
            other => panic!("the last event is not session.end but {other:?}"),
        }
    }

    /// It ended well, its words are those of `alone`, each once and in order, and its last message says the same; of its
    /// speech, as near as `moves` changes of worker allow.
    pub fn assert_says_what(&self, alone: &Heard, moves: usize) {
        assert_eq!(self.code, 1000, "{} {:?}", self.reason, self.events);
        assert_eq!(self.texts(), alone.texts(), "{:?}", self.events);
        assert!(self.finals().windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(!self.warned_of("audio_gap"), "{:?}", self.events);
        let (end, expected) = (self.end(), alone.end());
        assert_eq!(end.transcript, expected.transcript);
        assert!((end.total_audio_seconds - expected.total_audio_seconds).abs() < 0.001, "{}", end.total_audio_seconds);
        let (speech, expected) = (end.total_speech_duration, expected.total_speech_duration);
        assert!((speech - expected).abs() <= 0.001 + ONSET * moves as f64, "{speech} s of speech, alone {expected} s");
    }

    /// Whether the last event is `session.end`.
    pub fn has_end(&self) -> bool {
        matches!(self.events.last(), Some(ServerMessage::SessionEnd(_)))
    }
}

/// Connects, and hears `session.begin`.
pub async fn open(client: &StreamClient) -> (Sink, Events, ServerMessage) {
    let (sink, mut events) = client.connect().await.expect("the server takes connections");
    match next(&mut events).await {
        Event::Message(begin) => (sink, events, *begin),
        Event::Closed { code, reason } => panic!("closed at once with {code}: {reason}"),
    }
}

/// The next event.
pub async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event in time");
    event.expect("a close before the end").expect("events are readable")
}

/// Everything up to the close.
pub async fn rest(events: &mut Events) -> Heard {
    let mut heard = Heard { events: Vec::new(), code: 0, reason: String::new() };
    loop {
        match next(events).await {
            Event::Message(event) => heard.events.push(*event),
            Event::Closed { code, reason } => return Heard { code, reason, ..heard },
        }
    }
}

/// 100 ms of audio …
pub const PIECE: usize = 3_200;
/// … every 100 ms.
pub const PACE: Duration = Duration::from_millis(100);

/// Live sessions that say the same side by side.
pub fn side_by_side(client: &StreamClient, count: usize, audio: &[u8]) -> Vec<JoinHandle<Heard>> {
    let one = |_| {
        let (client, audio) = (client.clone(), audio.to_vec());
        tokio::spawn(async move { stream(&client, audio, PIECE, PACE).await })
    };
    (0..count).map(one).collect()
}

/// What one session says that nothing happens to.
pub async fn undisturbed(server: &Server, audio: &[u8]) -> Heard {
    stream(&server.client(SessionConfig::default()), audio.to_vec(), PIECE, Duration::ZERO).await
}

/// A whole session: the audio in messages of `size` bytes, `gap` apart, then `end`.
pub async fn stream(client: &StreamClient, audio: Vec<u8>, size: usize, gap: Duration) -> Heard {
    let (mut sink, mut events) = client.connect().await.expect("the server takes connections");
    let sending = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(gap.max(Duration::from_nanos(1)));
        for chunk in audio.chunks(size) {
            if !gap.is_zero() {
                ticks.tick().await;
            }
            if sink.send_audio(chunk.to_vec()).await.is_err() {
                return;
            }
        }
        // The server may have closed first, which its close says better.
        let _ = sink.send(&ClientMessage::End).await;
    });
    let heard = rest(&mut events).await;
    sending.await.expect("the sender does not panic");
    heard
}
