//! The pump: moves one session between its socket and its worker.
//!
//! One task, one `poll`, no queue of its own but a message from the client ([`Held`]) and a few events to it
//! ([`Outbox`]):
//!
//! ```text
//!            poll_read            poll_forward
//!   socket ───────────▶  held  ───────────────▶ worker      held is taken: the socket is not read, TCP slows the
//!   client ◀───────────  outbox ◀─────────────              outbox is full: the worker's channel fills, partials
//!   coalesce poll_write           poll_worker
//! ```
//!
//! Neither direction waits for the other: while the worker takes nothing, events still reach the client; while the
//! client reads nothing, its audio still reaches the worker. Every wait has a deadline ([`Clock`]).
//!
//! Each side ends by itself, and what either side does first decides how the session ended ([`Verdict`], set once):
//!
//! * The worker ends with `Closed`. The slot is given back, then the client gets what is left, and the close frame.
//! * The worker dies, or goes down, and is of another process. The session goes on at another one (`moving.rs`).
//! * The client leaves, with a close frame or without. The worker answers for what it received; nobody hears it.
//! * The client is lost, and may resume the session. That goes on for a while without it (`absence.rs`).
//! * The client is at fault. It is told at once; the worker is dismissed and its end awaited.
//! * The server drains, or the session has lasted long enough. What the client has sent so far is read, and no more;
//!   the worker answers for it, and ends the session with the close it was given. If it does not in the time that the
//!   session has for it, the client is given that close all the same.

mod absence;
mod ends;
mod finals;
mod flow;
mod journey;
mod keeping;
mod moving;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use dalston_protocol::{ApiError, Close, ErrorCode, realtime::ServerMessage};
use dalston_session_router::{
    LeaseGuard,
    link::{FromWorker, SessionChannel, ToWorker},
};
use dalston_telemetry::{Metrics, Span};
use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_util::{sync::PollSender, task::TaskTracker};

use super::{
    clock::{Clock, Watch},
    held::Held,
    outbox::Outbox,
    upgrade::Socket,
    verdict::Verdict,
};
use crate::{StreamLimits, auth::Seat, gateway::App, rate::Bucket};

/// Wait for the slot to be given back before the client is told that the session is over. Then the lease's own guard
/// does it.
pub(super) const RELEASE: Duration = Duration::from_secs(1);

/// When a session winds down, what arrives in this time still counts as sent before: it may be in the kernel already.
const CATCH_UP: Duration = Duration::from_millis(100);

/// What passed, for the session's record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) audio_bytes: u64,
    pub(super) messages_in: u64,
    pub(super) events_out: u64,
    pub(super) coalesced: u64,
}

/// How far the close frame is.
#[derive(Debug)]
enum Parting {
    /// Nobody closes.
    Not,
    /// To be sent when the worker's slot is free again: the client may open its next session at once.
    Waiting(Box<CloseFrame>),
    /// To be sent when the outbox is empty.
    Queued(Box<CloseFrame>),
    /// Handed to the socket.
    Sent,
    /// The client closed; the echo is under way.
    Echoing,
}

/// What comes from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Frames.
    Frames,
    /// Bytes after a frame that could not be read. They are thrown away, but not left: a socket that is closed with
    /// unread bytes makes the kernel send a reset, and a reset makes the client's kernel throw away the close frame.
    Scraps,
    /// Nothing more.
    Nothing,
}

/// A session that ends for a reason of ours.
#[derive(Debug)]
struct WindingDown {
    /// How it ends, if neither side ends it otherwise meanwhile.
    close: Close,
    hearing: Hearing,
}

/// How much more of the client is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// All that comes: it may have been sent before.
    UnderWay,
    /// What is among the first so many bytes of the connection. Counted in bytes, not in time, because reading waits for
    /// the worker, and what waits in the kernel meanwhile (an `end`, say) was sent before.
    UpTo(u64),
    /// Nothing.
    Over,
}

use self::absence::Absence;
pub(super) use self::{
    journey::{Journey, pinned},
    keeping::{Keeping, whole},
    moving::warning,
};

/// One session between its socket and its worker.
pub(super) struct Pump<'a> {
    limits: &'a StreamLimits,
    metrics: &'a Metrics,
    /// What is to be said when the pump is not there to wait for it.
    last_words: &'a TaskTracker,

    /// `None` when the client is gone.
    socket: Option<Socket>,
    reading: Reading,
    /// Whether the socket still takes something. One that was reset does not, but what the client sent before is still
    /// there.
    writable: bool,
    outbox: Outbox,
    parting: Parting,
    ping_due: bool,
    /// Something was handed to the socket and is not yet with the kernel.
    flushing: bool,
    /// What the client's kernel had taken when we looked last.
    taken: u64,

    /// `None` when the worker sees a client that is gone.
    to_worker: Option<PollSender<ToWorker>>,
    /// `None` when the worker has ended.
    from_worker: Option<mpsc::Receiver<FromWorker>>,
    held: Held,
    /// Set for a session whose worker may die without us, or that its client may resume.
    journey: Option<Box<Journey>>,
    /// Set for a session that its client may resume.
    keeping: Option<Box<Keeping>>,
    /// The client is gone and may come back.
    absent: Option<Absence<'a>>,
    /// The client knows that the session is over, or has had its time to ask.
    is_heard: bool,
    /// A look for another worker has begun and was not polled yet.
    is_search_new: bool,

    clock: Clock,
    bucket: Bucket,
    /// The client said `end`.
    ended: bool,
    winding_down: Option<Box<WindingDown>>,
    /// Told after `session.begin`.
    notice: Option<Box<ServerMessage>>,
    /// The last error after which the worker does not go on.
    fatal: Option<ErrorCode>,
    /// How the session ended, from the first cause on.
    verdict: Option<Verdict>,
    tally: Tally,
}

/// What a session begins with that has its worker.
pub(super) struct Served {
    pub(super) channel: SessionChannel,
    /// Told after `session.begin`.
    pub(super) notice: Option<Box<ServerMessage>>,
    pub(super) journey: Option<Box<Journey>>,
    pub(super) keeping: Option<Box<Keeping>>,
    /// Told at once: of a session that goes on.
    pub(super) told: Vec<ServerMessage>,
    /// Since it began, on other connections.
    pub(super) lasted: Duration,
}

impl<'a> Pump<'a> {
    pub(super) fn new(app: &'a App, socket: Socket, served: Served) -> Self {
        let Served { channel, notice, journey, keeping, told, lasted } = served;
        let SessionChannel { to_worker, from_worker } = channel;
        let mut pump = Self {
            to_worker: Some(PollSender::new(to_worker)),
            from_worker: Some(from_worker),
            notice,
            journey,
            keeping,
            ..Self::without_worker(app, socket)
        };
        if pump.journey.as_ref().is_some_and(|journey| journey.progress.moves() > 0) {
            pump.greet_worker();
        }
        pump.clock.has_lasted(lasted, Instant::now());
        told.into_iter().for_each(|event| pump.outbox.push(Box::new(event)));
        pump
    }

    /// A session that ended while its client was gone: the client is told how.
    pub(super) fn telling(app: &'a App, socket: Socket, told: Vec<ServerMessage>, close: (u16, &str)) -> Self {
        let mut pump = Self::without_worker(app, socket);
        told.into_iter().for_each(|event| pump.outbox.push(Box::new(event)));
        pump.decide(Verdict::told_later(close.0));
        pump.close_with(close.0, close.1);
        pump
    }

    /// Whether the client knows that the session is over.
    pub(super) fn is_heard(&self) -> bool {
        self.is_heard
    }

    /// A session that never began: the client is told why.
    pub(super) fn refusing(app: &'a App, socket: Socket, error: &ApiError) -> Self {
        let mut pump = Self::without_worker(app, socket);
        pump.refuse(error);
        pump
    }

    fn without_worker(app: &'a App, socket: Socket) -> Self {
        let (now, limits) = (Instant::now(), &app.config.stream);
        Self {
            limits,
            metrics: &app.metrics,
            last_words: &app.last_words,
            socket: Some(socket),
            reading: Reading::Frames,
            writable: true,
            outbox: Outbox::default(),
            parting: Parting::Not,
            ping_due: false,
            flushing: false,
            taken: 0,
            to_worker: None,
            from_worker: None,
            held: Held::default(),
            journey: None,
            keeping: None,
            absent: None,
            is_heard: false,
            is_search_new: false,
            clock: Clock::new(limits, now),
            bucket: Bucket::new(limits.messages_per_second, limits.message_burst, now),
            ended: false,
            winding_down: None,
            notice: None,
            fatal: None,
            verdict: None,
            tally: Tally::default(),
        }
    }

    /// Runs the session to its end. What the session had a right to, a slot and a seat among those of its key, ends with
    /// the worker's part in it: the client may open its next session when it sees the close frame.
    pub(super) async fn run(&mut self, mut lease: LeaseGuard, seat: Seat, app: &App, span: &Span) -> (Verdict, Tally) {
        let mut seat = Some(seat);
        loop {
            let found = {
                let mut alarm = pin!(sleep_until(Instant::now() + self.limits.ping_interval));
                let mut drain = pin!(app.draining.cancelled().fuse());
                poll_fn(|cx| {
                    if drain.as_mut().poll(cx).is_ready() {
                        self.drain(app.config.http.drain_timeout);
                    }
                    loop {
                        if let Some(found) = self.poll_search(cx) {
                            return Poll::Ready(Some(found));
                        }
                        self.poll_traffic(cx, alarm.as_mut());
                        if self.absent.is_some() {
                            // Its client needs a seat again to come back.
                            seat = None;
                            self.note_absence(span);
                        }
                        if self.from_worker.is_none() && !self.is_searching() {
                            return Poll::Ready(None);
                        }
                        if !self.is_search_new {
                            return Poll::Pending;
                        }
                    }
                })
                .await
            };
            let Some(found) = found else { break };
            // Dropped, the last one is given back soon.
            lease = self.go_on(*found, span);
        }
        let _ = timeout(RELEASE, lease.release()).await;
        drop(seat);
        self.slot_is_free();
        let keeping = self.keeping.take();
        let ended = self.part(app).await;
        if let Some(keeping) = keeping {
            keeping.conclude(self.verdict, self.is_heard).await;
        }
        ended
    }

    /// Gives the client what is left for it, and the closing handshake.
    pub(super) async fn part(&mut self, app: &App) -> (Verdict, Tally) {
        {
            let mut cut = pin!(app.cut.cancelled());
            let mut alarm = pin!(sleep_until(Instant::now() + self.limits.close_timeout));
            poll_fn(|cx| {
                if cut.as_mut().poll(cx).is_ready() {
                    self.socket = None;
                }
                self.poll_traffic(cx, alarm.as_mut());
                if self.socket.is_none() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        self.tally.coalesced = self.outbox.coalesced();
        (self.verdict.unwrap_or(Verdict::failed()), self.tally)
    }

    /// Moves what can be moved, then sees to what is overdue. When it returns, something will wake the task.
    fn poll_traffic(&mut self, cx: &mut Context<'_>, mut alarm: Pin<&mut Sleep>) {
        loop {
            let now = Instant::now();
            // Ends even if both sides always have more: tokio's cooperative budget makes the sockets and channels pend.
            while self.poll_worker(cx, now)
                | self.poll_keeping(cx, now)
                | self.poll_forward(cx, now)
                | self.poll_write(cx, now)
                | self.poll_read(cx, now)
            {}
            if self.has_caught_up() {
                continue;
            }
            let Some((at, due)) = self.clock.next(self.limits, self.watch()) else { return };
            let Some(at) = self.clock.wait_until(at, now) else {
                self.overdue(cx, due, now);
                continue;
            };
            // Deadlines mostly move away from us. The alarm then stays where it was, and is set anew when it rings:
            // cheaper than to set it with every frame.
            if alarm.is_elapsed() || at < alarm.deadline() {
                alarm.as_mut().reset(at);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return;
            }
        }
    }

    fn watch(&self) -> Watch {
        Watch {
            open: matches!(self.parting, Parting::Not) && self.socket.is_some(),
            reading: self.may_read(),
            ended: self.ended,
        }
    }
}
