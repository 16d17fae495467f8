//! Live sessions of a run: speakers who say what their voice says, again and again, and clients that behave badly.

use std::{
    io::Write,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_client::{Endpoint, Event, Events, Sink, StreamClient};
use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig};
use tokio::{
    task::AbortHandle,
    time::{interval, sleep, timeout},
};

use super::{
    history::{End, History, What},
    schedule::ByClient,
    town::{Door, Doors},
};
use crate::{relay::Relay, speech};

/// 100 ms of audio every 100 ms.
const PIECE: usize = 3_200;
const PACE: Duration = Duration::from_millis(100);
/// Before another gateway is tried.
const PAUSE: Duration = Duration::from_millis(300);
/// From the last audio to the close: a move, and an answer that has to be heard again.
const PATIENCE: Duration = Duration::from_secs(75);

/// What each voice says, as 16 kHz samples. Each is a half of the demo recording, and louder or softer than all others, so that
/// loopback hears other words in each.
pub fn voices(count: usize) -> Vec<Arc<[u8]>> {
    let demo = speech::demo();
    let (first, second) = demo.split_at(demo.len() / 4 * 2);
    (0..count)
        .map(|number| {
            let percent = 100 - 2 * (number as i32 / 2);
            let half = if number % 2 == 0 { first } else { second };
            let softer = |sample: &[u8; 2]| (i32::from(i16::from_le_bytes(*sample)) * percent / 100) as i16;
            half.as_chunks::<2>().0.iter().flat_map(|sample| softer(sample).to_le_bytes()).collect()
        })
        .collect()
}

/// What all clients share.
#[derive(Clone)]
pub struct Clients {
    /// Where they write down what they see.
    pub history: History,
    /// Where they connect.
    pub doors: Doors,
    /// What they say.
    pub voices: Arc<[Arc<[u8]>]>,
}

/// One that lives, and whoever sends in it.
struct Live {
    session: usize,
    events: Events,
    sending: AbortHandle,
}

/// How fast, and to what end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Live,
    AtOnce,
}

impl Clients {
    /// One session after another, until `stop`.
    pub async fn speak(self, number: usize, stop: Instant) {
        // Not all at once.
        sleep(PAUSE * number as u32).await;
        while Instant::now() < stop {
            let Some(door) = self.doors.near(number) else {
                sleep(PAUSE).await;
                continue;
            };
            // Every second one can take its session up again elsewhere; the others are told what becomes of it.
            let others = if number.is_multiple_of(2) { self.doors.all() } else { Vec::new() };
            match self.begin(number, &door, &door.address, &others, Manner::Live).await {
                Some(live) => self.hear(live, number).await,
                None => sleep(PAUSE).await,
            }
        }
    }

    /// Does something bad for so long.
    pub async fn misbehave(&self, how: ByClient, lasts: Duration, wires: &mut Vec<Relay>) {
        let voice = self.voices.len() - 1;
        let Some(door) = self.doors.near(voice) else { return };
        match how {
            ByClient::HalfOpen => {
                let half = |_| {
                    let mut stream = TcpStream::connect(&door.address).ok()?;
                    stream.write_all(b"GET /v1/audio/transcriptions/stream HTTP/1.1\r\nHost: ").ok()?;
                    Some(stream)
                };
                let held: Vec<Option<TcpStream>> = (0..20).map(half).collect();
                sleep(lasts).await;
                drop(held);
            }
            ByClient::Floods => {
                if let Some(live) = self.begin(voice, &door, &door.address, &[], Manner::AtOnce).await {
                    self.hear(live, voice).await;
                }
            }
            ByClient::Vanishes | ByClient::Breaks | ByClient::Deaf => {
                let wire = Relay::to(&door.address).await;
                let Some(live) = self.begin(voice, &door, &wire.address(), &[], Manner::Live).await else { return };
                sleep(lasts).await;
                match how {
                    ByClient::Vanishes => wire.hold(),
                    _ => wire.cut(),
                }
                self.history.push(What::Ended { session: live.session, how: End::Left });
                live.sending.abort();
                // One that was held stays so, or its end would be told after all.
                wires.push(wire);
            }
        }
    }

    /// Opens a session and begins to speak in it. If its connection is lost, it may be taken up again at `others`.
    async fn begin(&self, voice: usize, door: &Door, address: &str, others: &[Door], manner: Manner) -> Option<Live> {
        let endpoint =
            |address: &str| -> Endpoint { format!("http://{address}").parse().expect("an address is an endpoint") };
        let client = StreamClient::new(endpoint(address)).config(SessionConfig::default());
        let client = client.resumable(!others.is_empty());
        let client = others.iter().fold(client, |client, other| client.or_at(endpoint(&other.address)));
        let opened = match client.connect().await {
            Ok((sink, mut events)) => timeout(PATIENCE, events.next()).await.map(|first| (sink, events, first)).ok(),
            Err(_) => None,
        };
        let code = match opened {
            Some((sink, events, Some(Ok(Event::Message(begin)))))
                if matches!(*begin, ServerMessage::SessionBegin { .. }) =>
            {
                let session = self.history.session();
                let gateways = others.iter().map(|other| other.life).chain([door.life]).collect();
                self.history.push(What::Begun { session, voice, gateways });
                let saying = say(sink, self.voices[voice].clone(), manner, session, self.history.clone());
                return Some(Live { session, events, sending: tokio::spawn(saying).abort_handle() });
            }
            Some((_sink, mut events, Some(Ok(Event::Message(_))))) => match timeout(PATIENCE, events.next()).await {
                Ok(Some(Ok(Event::Closed { code, .. }))) => Some(code),
                _ => None,
            },
            Some((_, _, Some(Ok(Event::Closed { code, .. })))) => Some(code),
            _ => None,
        };
        self.history.push(What::Refused { code });
        None
    }

    /// Everything to its close.
    async fn hear(&self, mut live: Live, voice: usize) {
        let session = live.session;
        let seconds = self.voices[voice].len() as u64 / 32_000;
        let told = timeout(Duration::from_secs(seconds) + PATIENCE, self.listen(session, &mut live.events)).await;
        live.sending.abort();
        self.history.push(What::Ended { session, how: told.unwrap_or(End::Hung) });
    }

    async fn listen(&self, session: usize, events: &mut Events) -> End {
        let mut whole = false;
        loop {
            match events.next().await {
                Some(Ok(Event::Closed { code, reason })) => return End::Closed { code, reason, whole },
                Some(Ok(Event::Message(event))) => match *event {
                    ServerMessage::Final(said) => {
                        let (start, end, text) = (said.start, said.end, said.text);
                        self.history.push(What::Final { session, start, end, text });
                    }
                    ServerMessage::SessionEnd(_) => whole = true,
                    ServerMessage::Warning { code, .. } if code == "worker_moved" => {
                        self.history.push(What::Moved { session });
                    }
                    ServerMessage::Warning { code, .. } if code == "audio_gap" => {
                        self.history.push(What::Gap { session });
                    }
                    _ => {}
                },
                Some(Err(error)) => return End::Broken(error.to_string()),
                None => return End::Broken("it ended".into()),
            }
        }
    }
}

async fn say(mut sink: Sink, audio: Arc<[u8]>, manner: Manner, session: usize, history: History) {
    let mut ticks = interval(PACE);
    for piece in audio.chunks(PIECE) {
        if manner == Manner::Live {
            ticks.tick().await;
        }
        if sink.send_audio(piece.to_vec()).await.is_err() {
            return;
        }
    }
    // The server may have closed first, which its close says better.
    if sink.send(&ClientMessage::End).await.is_ok() {
        history.push(What::SaidAll { session });
    }
}
