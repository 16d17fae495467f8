//! The two directions of a session's socket. Neither waits for the other: each is a future of its own over its half.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message},
};

use super::{
    PARTING, net,
    wire::{Garbage, Outgoing, Received},
};

pub(super) type Socket = WebSocketStream<net::Stream>;

/// Why nothing more is heard of the other side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("it closed the connection")]
    Closed,
    #[error("the connection broke: {0}")]
    Broken(tungstenite::Error),
    #[error("nothing was heard of it for {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Garbage(#[from] Garbage),
}

/// The half that is read.
pub(super) struct Reader {
    half: SplitStream<Socket>,
    dead_after: Duration,
}

/// The half that is written.
pub(super) struct Writer {
    half: SplitSink<Socket, Message>,
    beat: Duration,
}

pub(super) fn split(socket: Socket, liveness: super::Liveness) -> (Reader, Writer) {
    let (sink, stream) = socket.split();
    (Reader { half: stream, dead_after: liveness.dead_after }, Writer { half: sink, beat: liveness.beat })
}

impl Reader {
    /// The next thing that is said. Silence counts from this call: before it, nobody listened.
    pub(super) async fn next<T: Received>(&mut self) -> Result<T, Lost> {
        loop {
            // Whatever has arrived is looked at before the clock is: a process that stood still must not blame the other.
            let frame = timeout(self.dead_after, self.half.next()).await.map_err(|_| Lost::Silent(self.dead_after))?;
            match frame.ok_or(Lost::Closed)?.map_err(Lost::Broken)? {
                Message::Binary(bytes) => return Ok(T::audio(bytes)?),
                Message::Text(text) => return Ok(T::text(&text)?),
                Message::Close(_) => return Err(Lost::Closed),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Hears without listening until the connection ends.
    pub(super) async fn drain(&mut self) {
        while let Some(Ok(_)) = self.half.next().await {}
    }
}

impl Writer {
    /// Says one thing.
    pub(super) async fn say(&mut self, frame: Message) -> Result<(), tungstenite::Error> {
        self.half.send(frame).await
    }

    /// Says what comes, and now and then that we live, until the last word or until nothing more comes. Whether the last word
    /// was said; an error means that the connection is gone, which the reader finds out too.
    pub(super) async fn say_all<T: Outgoing>(
        &mut self,
        from: &mut mpsc::Receiver<T>,
    ) -> Result<bool, tungstenite::Error> {
        let mut beats = beats(self.beat);
        loop {
            let next = tokio::select! {
                biased;
                next = from.recv() => next,
                _ = beats.tick() => {
                    self.half.send(alive()).await?;
                    continue;
                }
            };
            let is_last = next.as_ref().is_some_and(Outgoing::is_last);
            let is_over = next.is_none() || is_last;
            let mut left = next;
            while let Some(message) = left {
                let (frame, rest) = message.next_frame();
                self.half.feed(frame).await?;
                left = rest;
            }
            // What waits already goes out with it, in one write.
            if is_over || from.is_empty() {
                self.half.flush().await?;
            }
            if is_over {
                return Ok(is_last);
            }
        }
    }

    /// Says that we live, for as long as it is polled or can be said.
    pub(super) async fn stay_alive(&mut self) {
        let mut beats = beats(self.beat);
        loop {
            beats.tick().await;
            if self.half.send(alive()).await.is_err() {
                return;
            }
        }
    }

    /// The closing handshake, as far as the other side takes part.
    pub(super) async fn part(&mut self) {
        // A connection that is gone needs no closing.
        let _ = timeout(PARTING, self.half.close()).await;
    }
}

fn beats(every: Duration) -> Interval {
    let mut beats = interval_at(Instant::now() + every, every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats
}

fn alive() -> Message {
    Message::Pong(Bytes::new())
}
