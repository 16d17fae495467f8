//! A session that outlives its connections: a task of its own that carries what is said, keeps it until it is
//! acknowledged, and comes back when the connection is lost.

use std::{
    collections::VecDeque,
    future::poll_fn,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use dalston_protocol::{
    CloseCode,
    realtime::{ClientMessage, FinalCause, ResumeOffer, ServerMessage, SessionConfig},
};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Event, StreamClient, StreamError,
    events::{closed, read},
    replay::{Replay, Said},
    sink::{farewell, frame},
    stream_client::Socket,
};

/// Audio kept beside the longest utterance: what a server may be behind with its acknowledgements.
const BESIDE_UTTERANCE: f64 = 30.0;
/// A server that acknowledges nothing for this long, though it should, is spoken to all the same: what is oldest is
/// given up.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts to come back, doubling.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// For our half of the closing handshake.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Events under way to the application. When full, the socket is not read.
const EVENTS: usize = 16;
/// Finals of which it is known that the application has them.
const REMEMBERED: usize = 64;

/// What the application says.
#[derive(Debug)]
pub(crate) enum Command {
    Say(Said),
    Leave,
}

pub(crate) type Heard = Result<Event, StreamError>;

type Half = (SplitSink<Socket, Message>, SplitStream<Socket>);

/// Carries the session that has begun on `socket`.
pub(crate) fn start(client: StreamClient, socket: Socket) -> (mpsc::Sender<Command>, mpsc::Receiver<Heard>) {
    // One at a time: a send waits until the one before it is with the socket.
    let (say, commands) = mpsc::channel(1);
    let (events, hear) = mpsc::channel(EVENTS);
    let limit = kept_bytes(client.wanted());
    let carrier = Carrier {
        client,
        commands,
        events,
        replay: Replay::new(limit),
        offer: None,
        has_begun: false,
        acknowledged: 0,
        progress: Instant::now(),
        finals: VecDeque::new(),
        has_ended: false,
        leaves: false,
    };
    tokio::spawn(carrier.run(socket));
    (say, hear)
}

fn kept_bytes(config: &SessionConfig) -> usize {
    ((config.endpointing.max_utterance_s + BESIDE_UTTERANCE) * config.bytes_per_second() as f64) as usize
}

struct Carrier {
    client: StreamClient,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Heard>,
    replay: Replay,
    /// How to come back, once the server has said so.
    offer: Option<ResumeOffer>,
    has_begun: bool,
    acknowledged: u64,
    /// When something was acknowledged last.
    progress: Instant,
    /// Utterances of the last finals, the newest last.
    finals: VecDeque<String>,
    /// `session.end` has come: nothing more is to be expected of it.
    has_ended: bool,
    /// The application has said that it leaves.
    leaves: bool,
}

/// Why a connection carries no more.
enum End {
    /// Nobody is interested any more.
    Over,
    /// It is lost, which is to be told if the session cannot go on on another one.
    Lost(Heard),
    /// This is to be told.
    Told(Heard),
}

impl Carrier {
    async fn run(mut self, socket: Socket) {
        let mut halves = socket.split();
        loop {
            let last = match self.carry(&mut halves).await {
                End::Over => {
                    // Else the server would wait for us.
                    let _ = timeout(LAST_WORD, halves.0.send(farewell())).await;
                    return;
                }
                End::Told(last) => last,
                End::Lost(last) => match self.come_back(last).await {
                    Ok(again) => {
                        halves = again;
                        continue;
                    }
                    Err(last) => last,
                },
            };
            let _ = self.events.send(last).await;
            return;
        }
    }

    /// Moves what is said and what is heard, until the connection ends.
    async fn carry(&mut self, (sink, stream): &mut Half) -> End {
        let (mut waiting, mut is_flushing, mut has_left) = (None, false, false);
        let (mut says_more, mut is_mute) = (true, false);
        let events = self.events.clone();
        loop {
            let says = !is_mute && (!self.replay.is_sent() || (self.leaves && !has_left));
            let takes_more = says_more && !says && !is_mute && !is_flushing && self.replay.has_room();
            let is_stuck = !self.replay.has_room() && self.replay.is_sent();
            tokio::select! {
                biased;
                permit = events.reserve(), if waiting.is_some() => match (permit, waiting.take()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    // Nobody listens, but what is said may still be meant.
                    _ if says_more => {}
                    _ => return End::Over,
                },
                heard = stream.next(), if waiting.is_none() => match heard {
                    Some(Ok(Message::Text(text))) => waiting = self.hears(read(&text)),
                    Some(Ok(Message::Close(close))) => {
                        let _ = timeout(LAST_WORD, sink.flush()).await;
                        return self.closed(closed(close));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return self.lost(error.into()),
                    None => return self.lost(StreamError::Lost("it ended without a close frame".into())),
                },
                moved = poll_fn(|cx| if says { sink.poll_ready_unpin(cx) } else { sink.poll_flush_unpin(cx) }),
                    if says || is_flushing =>
                {
                    let sent = moved.and_then(|()| {
                        is_flushing = says;
                        if !says {
                            return Ok(());
                        }
                        let said = self.replay.next();
                        has_left |= said.is_none();
                        sink.start_send_unpin(said.map_or_else(farewell, frame))
                    });
                    if self.has_begun && self.offer.is_none() {
                        // It will not be asked for.
                        self.replay.forget_sent();
                    }
                    // Why, is told by what is still to be read.
                    is_mute |= sent.is_err();
                    is_flushing &= !is_mute;
                }
                command = self.commands.recv(), if takes_more => match command {
                    Some(Command::Say(said)) => self.replay.push(said),
                    Some(Command::Leave) => self.leaves = true,
                    None if self.events.is_closed() => return End::Over,
                    None => says_more = false,
                },
                () = events.closed(), if !says_more => return End::Over,
                () = sleep_until(self.progress + ACKNOWLEDGED_WITHIN), if is_stuck => {
                    self.replay.give_up(self.client.wanted().bytes_per_second() as u64);
                }
            }
        }
    }

    fn lost(&self, error: StreamError) -> End {
        if self.has_ended {
            // Everything was said but for the close frame itself.
            return End::Told(Ok(Event::Closed { code: 1006, reason: "the connection was lost after the end".into() }));
        }
        if self.leaves { End::Told(Err(error)) } else { End::Lost(Err(error)) }
    }

    fn closed(&self, event: Event) -> End {
        let Event::Closed { code, .. } = &event else { return End::Told(Ok(event)) };
        // The server goes down, or a proxy before it does.
        let goes_on = [1001, 1012].contains(code) && !self.has_ended && !self.leaves;
        if goes_on { End::Lost(Ok(event)) } else { End::Told(Ok(event)) }
    }

    /// Takes note of an event. Gives what the application is to hear.
    fn hears(&mut self, mut heard: Heard) -> Option<Heard> {
        let Ok(Event::Message(message)) = &mut heard else { return Some(heard) };
        match &mut **message {
            // The token is nobody else's affair.
            ServerMessage::SessionBegin { resume, .. } => {
                self.has_begun = true;
                self.offer = resume.take().or(self.offer.take());
            }
            ServerMessage::AudioAck { bytes } => {
                self.acknowledged = *bytes;
                self.progress = Instant::now();
                self.replay.forget_before(*bytes);
                return None;
            }
            ServerMessage::Final(said) => {
                if said.cause == FinalCause::Flush {
                    self.replay.answered(said.id.as_deref());
                }
                if self.finals.contains(&said.utterance_id) {
                    return None;
                }
                self.finals.push_back(said.utterance_id.clone());
                if self.finals.len() > REMEMBERED {
                    self.finals.pop_front();
                }
            }
            ServerMessage::Flushed { id } => self.replay.answered(id.as_deref()),
            ServerMessage::SessionEnd(_) => self.has_ended = true,
            _ => {}
        }
        Some(heard)
    }

    /// Connects again and again for as long as the server keeps the session. What to tell instead, if it is lost.
    async fn come_back(&mut self, last: Heard) -> Result<Half, Heard> {
        let Some(offer) = self.offer.clone() else { return Err(last) };
        let until = Instant::now() + Duration::try_from_secs_f64(offer.window_seconds).unwrap_or_default();
        let query = vec![("resume", String::from(offer.token)), ("received", self.acknowledged.to_string())]
            .into_iter()
            .chain(self.finals.back().map(|last| ("last_final", last.clone())))
            .collect::<Vec<_>>();
        let mut pause = PAUSE;
        for attempt in 0_usize.. {
            if attempt > 0 {
                if Instant::now() + pause > until {
                    break;
                }
                sleep(jittered(pause, attempt)).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            if self.commands.is_closed() && self.events.is_closed() {
                break;
            }
            match self.client.resume(attempt, &query).await {
                Ok(socket) => match self.greeted(socket.split()).await {
                    Greeting::GoesOn(halves) => return Ok(halves),
                    Greeting::Refused(told) => return Err(told),
                    Greeting::NotNow => {}
                },
                Err(error) => {
                    if !error.is_transient() {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// The first that the server says: where to go on, or why not.
    async fn greeted(&mut self, mut halves: Half) -> Greeting {
        let mut refusal = None;
        loop {
            let heard = match timeout(self.client.patience_of(), halves.1.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => read(&text),
                Ok(Some(Ok(Message::Close(close)))) => {
                    let event = closed(close);
                    let Event::Closed { code, .. } = &event else { return Greeting::NotNow };
                    if may_try_again(*code) {
                        return Greeting::NotNow;
                    }
                    if let Some(refusal) = refusal {
                        let _ = self.events.send(Ok(refusal)).await;
                    }
                    return Greeting::Refused(Ok(event));
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(_)) | None) | Err(_) => return Greeting::NotNow,
            };
            match heard {
                Ok(Event::Message(mut message)) => match &mut *message {
                    ServerMessage::SessionBegin { resumed: Some(resumed), resume, .. } => {
                        self.offer = resume.take().or(self.offer.take());
                        if !self.replay.rewind(resumed.bytes) {
                            let why =
                                format!("the server asks for audio from byte {}, which is not kept", resumed.bytes);
                            return Greeting::Refused(Err(StreamError::Lost(why)));
                        }
                        self.acknowledged = resumed.bytes;
                        self.progress = Instant::now();
                        let _ = self.events.send(Ok(Event::Message(message))).await;
                        return Greeting::GoesOn(halves);
                    }
                    _ => refusal = Some(Event::Message(message)),
                },
                Ok(Event::Closed { .. }) | Err(_) => {}
            }
        }
    }
}

enum Greeting {
    GoesOn(Half),
    Refused(Heard),
    NotNow,
}

/// Whether a session that is refused with this code may be had a little later.
fn may_try_again(code: u16) -> bool {
    let later = [CloseCode::Restart, CloseCode::NoCapacity, CloseCode::RateLimited, CloseCode::Internal];
    code == 1001 || later.iter().any(|later| later.as_u16() == code)
}

/// Between half of it and all of it: clients that were lost together do not come back together.
fn jittered(pause: Duration, attempt: usize) -> Duration {
    let chance = RandomState::new().hash_one(attempt) as f64 / u64::MAX as f64;
    pause.mul_f64(0.5 + chance / 2.0)
}

/// For a [`Sink`](crate::Sink).
pub(crate) async fn say(commands: &mpsc::Sender<Command>, command: Command) -> Result<(), StreamError> {
    commands.send(command).await.map_err(|_| StreamError::Ended)
}

/// A message as it is said.
pub(crate) fn message(message: &ClientMessage) -> Command {
    Command::Say(Said::Message(message.clone()))
}
