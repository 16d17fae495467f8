//! One session on its schedule: sends what is due, hears what comes, both in one task.

use std::{pin::pin, sync::Arc, time::Duration};

use dalston_client::{Event, Events, Sink, StreamClient, StreamError};
use dalston_protocol::realtime::ClientMessage;
use tokio::{
    select,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    fault::Fault,
    latency::Moment,
    schedule::Pace,
    tally::Tally,
    track::Track,
    witness::{Expectation, Said, Witness},
};

/// What a session does with its client's half.
#[derive(Debug, Clone)]
pub enum Part {
    /// Sends audio as it is due, then `end`.
    Speak(Arc<Track>),
    /// Sends nothing but keepalives, then `end`.
    Hold {
        /// When it ends.
        until: Instant,
        /// Time between keepalives.
        keepalive: Duration,
    },
    /// Sends audio until it vanishes without a word.
    Vanish(Arc<Track>),
    /// Sends audio, then a close frame without `end`.
    Leave(Arc<Track>),
    /// Sends audio and reads nothing until all is sent, then `end`.
    ReadLate(Arc<Track>),
}

/// One session of a run.
#[derive(Debug, Clone)]
pub struct Session {
    /// Opens it.
    pub client: Arc<StreamClient>,
    /// Its number in the run, for messages.
    pub number: usize,
    /// What it does.
    pub part: Part,
    /// When.
    pub pace: Pace,
    /// Silence that ends an utterance.
    pub endpointing: Duration,
    /// How long the server may take to answer after the last audio; then the session has failed.
    pub patience: Duration,
    /// The finals it must have.
    pub expected: Option<Arc<[Said]>>,
    /// Whether its finals are wanted afterwards.
    pub keep: bool,
    /// What it adds to.
    pub tally: Arc<Tally>,
}

/// What became of a session.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its finals, when they were to be kept.
    pub said: Vec<Said>,
    /// Audio that the server's socket took, seconds.
    pub sent: f64,
    /// How it was closed; `None` when it was not, or not by the server.
    pub close: Option<u16>,
}

/// The session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Closed(u16),
    Lost,
}

/// What is to be done once a part has been played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Listen,
    BeGone,
}

impl Session {
    /// Runs it to its end. Never longer than its schedule and its patience.
    pub async fn run(self) -> Outcome {
        let mut witness = Witness::new(&self.tally, self.number, self.expectation());
        let mut outcome = Outcome::default();
        match self.client.connect().await {
            Ok((sink, mut events)) => {
                if self.begin(&mut events, &mut witness).await {
                    self.tally.begun.inc();
                    outcome.close = self.see_through(sink, events, &mut witness, &mut outcome.sent).await;
                    self.tally.ended.inc();
                }
            }
            Err(error) => witness.fault(Fault::Opening, || error.to_string()),
        }
        outcome.said = witness.into_said();
        outcome
    }

    /// Plays the part to its end, and no longer than the server may take. How the server closed it, if it did.
    async fn see_through(&self, sink: Sink, events: Events, witness: &mut Witness<'_>, sent: &mut f64) -> Option<u16> {
        match timeout_at(self.deadline(), self.play(sink, events, witness, sent)).await {
            Ok(Some(Over::Closed(code))) => Some(code),
            Ok(Some(Over::Lost) | None) => None,
            Err(_) => {
                let missing = if witness.has_ended() { "the close frame" } else { "session.end" };
                witness.fault(Fault::Ending, || format!("no {missing} {:?} after the last audio", self.patience));
                None
            }
        }
    }

    fn expectation(&self) -> Expectation<'_> {
        Expectation {
            pace: self.pace,
            endpointing: self.endpointing.as_secs_f64(),
            audio: self.audio(),
            finals: self.expected.as_deref(),
            keep: self.keep,
        }
    }

    /// Audio that it sends in all, seconds.
    fn audio(&self) -> f64 {
        match &self.part {
            Part::Speak(track) | Part::Vanish(track) | Part::Leave(track) | Part::ReadLate(track) => track.seconds,
            Part::Hold { .. } => 0.0,
        }
    }

    fn deadline(&self) -> Instant {
        let last = match &self.part {
            Part::Hold { until, .. } => *until,
            _ => self.pace.due_of(self.audio()),
        };
        // Sent at once, the audio may still take the server as long as it lasts.
        let slack = if self.pace.speed.is_finite() { Duration::ZERO } else { Duration::from_secs_f64(self.audio()) };
        last.max(Instant::now()) + slack + self.patience
    }

    /// Whether it began.
    async fn begin(&self, events: &mut Events, witness: &mut Witness<'_>) -> bool {
        let beginning = async {
            // A refused session is told why, and then closed.
            while !witness.has_begun() {
                if hear(events, witness).await.is_some() {
                    return false;
                }
            }
            true
        };
        let begun = timeout(self.patience, beginning).await;
        match begun {
            Ok(true) => self.tally.since(Moment::Begin, self.pace.start, Instant::now()),
            Ok(false) => {}
            Err(_) => witness.fault(Fault::Opening, || format!("no session.begin within {:?}", self.patience)),
        }
        begun == Ok(true)
    }

    async fn play(
        &self,
        mut sink: Sink,
        mut events: Events,
        witness: &mut Witness<'_>,
        sent: &mut f64,
    ) -> Option<Over> {
        let mut playing = pin!(self.act(&mut sink, sent));
        let then = if let Part::ReadLate(_) = self.part {
            playing.await
        } else {
            // The server may end a session at any time, and says why.
            select! {
                biased;
                over = listen(&mut events, witness) => return Some(over),
                then = &mut playing => then,
            }
        };
        match then {
            Ok(Then::BeGone) => None,
            // What broke is heard too: a close frame, or a lost connection.
            Ok(Then::Listen) | Err(_) => Some(listen(&mut events, witness).await),
        }
    }

    async fn act(&self, sink: &mut Sink, sent: &mut f64) -> Result<Then, StreamError> {
        match &self.part {
            Part::Speak(track) | Part::ReadLate(track) => {
                self.speak(track, sink, sent).await?;
                sink.send(&ClientMessage::End).await?;
            }
            Part::Hold { until, keepalive } => {
                let mut next = self.pace.start + *keepalive;
                while next < *until {
                    sleep_until(next).await;
                    sink.send(&ClientMessage::Keepalive).await?;
                    next += *keepalive;
                }
                sleep_until(*until).await;
                sink.send(&ClientMessage::End).await?;
            }
            Part::Vanish(track) => {
                self.speak(track, sink, sent).await?;
                return Ok(Then::BeGone);
            }
            Part::Leave(track) => {
                self.speak(track, sink, sent).await?;
                sink.close().await?;
            }
        }
        Ok(Then::Listen)
    }

    /// Sends each frame when it is due. A frame that is late is sent at once, and what is due meanwhile after it: the schedule
    /// does not wait.
    async fn speak(&self, track: &Track, sink: &mut Sink, sent: &mut f64) -> Result<(), StreamError> {
        let mut alarm = pin!(sleep_until(self.pace.start));
        let is_timed = self.pace.speed.is_finite();
        for (n, frame) in track.frames.iter().enumerate() {
            let due = self.pace.due(n);
            let mut began = Instant::now();
            if began < due {
                alarm.as_mut().reset(due);
                alarm.as_mut().await;
                began = Instant::now();
                self.tally.since(Moment::Wake, due, began);
            }
            sink.send_audio(frame.clone()).await?;
            if is_timed {
                self.tally.took(Moment::Blocked, began.elapsed());
            }
            self.tally.frames.inc();
            *sent = track.seconds.min(track.frame.as_secs_f64() * (n + 1) as f64);
        }
        Ok(())
    }
}

async fn listen(events: &mut Events, witness: &mut Witness<'_>) -> Over {
    loop {
        if let Some(over) = hear(events, witness).await {
            return over;
        }
    }
}

/// Hears one event. `Some` when it was the last.
async fn hear(events: &mut Events, witness: &mut Witness<'_>) -> Option<Over> {
    match events.next().await {
        Some(Ok(Event::Message(message))) => {
            witness.hear(&message, Instant::now());
            None
        }
        Some(Ok(Event::Closed { code, reason })) => {
            witness.closed(code, &reason);
            Some(Over::Closed(code))
        }
        Some(Err(error @ StreamError::UnknownMessage(_))) => {
            witness.fault(Fault::Message, || error.to_string());
            None
        }
        Some(Err(error)) => {
            let fault = if witness.has_begun() { Fault::Ending } else { Fault::Opening };
            witness.fault(fault, || error.to_string());
            Some(Over::Lost)
        }
        None => Some(Over::Lost),
    }
}
