//! The pump: moves one session between its socket and its worker.
//!
//! One task, one `poll`, no queue of its own but a message from the client ([`Held`]) and a few events to it ([`Outbox`]):
//!
//! ```text
//!            poll_read            poll_forward
//!   socket ───────────▶  held  ───────────────▶ worker      held is taken: the socket is not read, TCP slows the client
//!          ◀───────────  outbox ◀─────────────              outbox is full: the worker's channel fills, partials coalesce
//!            poll_write           poll_worker
//! ```
//!
//! Neither direction waits for the other: while the worker takes nothing, events still reach the client; while the client
//! reads nothing, its audio still reaches the worker. Every wait has a deadline ([`Clock`]).
//!
//! Each side ends by itself, and what either side does first decides how the session ended ([`Verdict`], set once):
//!
//! * The worker ends with `Closed`. The slot is given back, then the client gets what is left, and the close frame.
//! * The client leaves, with a close frame or without. The worker answers for what it received; nobody hears it.
//! * The client is at fault. It is told at once; the worker is dismissed and its end awaited.
//! * The server drains, or the session has lasted long enough. The client is not read any more; the worker answers for what
//!   it received, and ends the session with the close it was given.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use dalston_protocol::{
    ApiError, Close, CloseCode, ErrorCode,
    realtime::{ClientMessage, ServerMessage},
};
use dalston_session_router::{
    LeaseGuard,
    link::{FromWorker, SessionChannel, ToWorker},
};
use dalston_telemetry::{Direction, Metrics};
use futures_util::{FutureExt, Sink, Stream};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error as WsError, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
};
use tokio_util::sync::{CancellationToken, PollSender};

use super::{
    clock::{Clock, Due, Watch},
    farewell,
    held::Held,
    outbox::Outbox,
    rate::Bucket,
    upgrade::Socket,
    verdict::Verdict,
};
use crate::StreamLimits;

/// Wait for the slot to be given back before the client is told that the session is over. Then the lease's own guard does it.
const RELEASE: Duration = Duration::from_secs(1);

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

/// One session between its socket and its worker.
pub(super) struct Pump<'a> {
    limits: &'a StreamLimits,
    metrics: &'a Metrics,

    /// `None` when the client is gone.
    socket: Option<Socket>,
    /// Whether more may come from the socket.
    readable: bool,
    /// Whether the socket still takes something. One that was reset does not, but what the client sent before is still there.
    writable: bool,
    outbox: Outbox,
    parting: Parting,
    ping_due: bool,
    /// Something was handed to the socket and is not yet with the kernel.
    flushing: bool,
    /// What the kernel had taken when we looked last.
    sent: u64,

    /// `None` when the worker sees a client that is gone.
    to_worker: Option<PollSender<ToWorker>>,
    /// `None` when the worker has ended.
    from_worker: Option<mpsc::Receiver<FromWorker>>,
    held: Held,

    clock: Clock,
    bucket: Bucket,
    /// The client said `end`.
    ended: bool,
    /// The client is not read any more; the worker was asked to end with this.
    winding_down: Option<Box<Close>>,
    /// Told after `session.begin`.
    notice: Option<Box<ServerMessage>>,
    /// The last error after which the worker does not go on.
    fatal: Option<ErrorCode>,
    /// How the session ended, from the first cause on.
    verdict: Option<Verdict>,
    tally: Tally,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        limits: &'a StreamLimits,
        metrics: &'a Metrics,
        socket: Socket,
        channel: SessionChannel,
        notice: Option<Box<ServerMessage>>,
    ) -> Self {
        let SessionChannel { to_worker, from_worker } = channel;
        Self {
            to_worker: Some(PollSender::new(to_worker)),
            from_worker: Some(from_worker),
            notice,
            ..Self::without_worker(limits, metrics, socket)
        }
    }

    /// A session that never began: the client is told why.
    pub(super) fn refusing(limits: &'a StreamLimits, metrics: &'a Metrics, socket: Socket, error: &ApiError) -> Self {
        let mut pump = Self::without_worker(limits, metrics, socket);
        pump.refuse(error);
        pump
    }

    fn without_worker(limits: &'a StreamLimits, metrics: &'a Metrics, socket: Socket) -> Self {
        let now = Instant::now();
        Self {
            limits,
            metrics,
            socket: Some(socket),
            readable: true,
            writable: true,
            outbox: Outbox::default(),
            parting: Parting::Not,
            ping_due: false,
            flushing: false,
            sent: 0,
            to_worker: None,
            from_worker: None,
            held: Held::default(),
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

    /// Runs the session to its end. The lease ends with the worker's part in it.
    pub(super) async fn run(
        mut self,
        lease: LeaseGuard,
        draining: &CancellationToken,
        drain_timeout: Duration,
    ) -> (Verdict, Tally) {
        {
            let mut alarm = pin!(sleep_until(Instant::now() + self.limits.ping_interval));
            let mut lost = pin!(lease.lost().fuse());
            let mut drain = pin!(draining.cancelled().fuse());
            poll_fn(|cx| {
                if lost.as_mut().poll(cx).is_ready() {
                    self.lost_slot();
                }
                if drain.as_mut().poll(cx).is_ready() {
                    self.wind_down(
                        Close::new(CloseCode::Restart, "the server is going down; connect again"),
                        drain_timeout,
                    );
                }
                self.poll_traffic(cx, alarm.as_mut());
                if self.from_worker.is_none() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        let _ = timeout(RELEASE, lease.release()).await;
        if let Parting::Waiting(frame) = self.parting {
            self.parting = Parting::Queued(frame);
        }
        self.part().await
    }

    /// Gives the client what is left for it, and the closing handshake.
    pub(super) async fn part(mut self) -> (Verdict, Tally) {
        {
            let mut alarm = pin!(sleep_until(Instant::now() + self.limits.close_timeout));
            poll_fn(|cx| {
                self.poll_traffic(cx, alarm.as_mut());
                if self.has_parted() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        if let Some(socket) = self.socket.take() {
            Box::pin(farewell::linger(socket, self.limits.close_timeout)).await;
        }
        self.tally.coalesced = self.outbox.coalesced();
        let unknown = Verdict::worker_lost("no_cause");
        (self.verdict.unwrap_or(unknown), self.tally)
    }

    /// Moves what can be moved, then sees to what is overdue. When it returns, something will wake the task.
    fn poll_traffic(&mut self, cx: &mut Context<'_>, mut alarm: Pin<&mut Sleep>) {
        loop {
            let now = Instant::now();
            // Ends even if both sides always have more: tokio's cooperative budget makes the sockets and channels pend.
            while self.poll_worker(cx, now)
                | self.poll_forward(cx, now)
                | self.poll_write(cx, now)
                | self.poll_read(cx, now)
            {}
            let Some((at, due)) = self.clock.next(self.limits, self.watch()) else { return };
            if at <= now {
                self.overdue(cx, due, now);
                continue;
            }
            // Deadlines mostly move away from us. The alarm then stays where it was, and is set anew when it rings: cheaper than
            // to set it with every frame.
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

    // ---- worker to client

    fn poll_worker(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(from_worker) = self.from_worker.as_mut().filter(|_| !self.outbox.is_full()) else { return false };
        match from_worker.poll_recv(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(FromWorker::Event(event))) => self.event(event, now),
            Poll::Ready(Some(FromWorker::Closed(close))) => self.worker_closed(&close),
            Poll::Ready(None) => self.worker_died("worker_died"),
        }
        true
    }

    fn event(&mut self, event: Box<ServerMessage>, now: Instant) {
        if self.ended && self.winding_down.is_none() {
            self.clock.expect_worker(self.limits.worker_timeout, now);
        }
        if let ServerMessage::Error { code, recoverable: false, .. } = &*event {
            self.fatal = Some(*code);
        }
        if !self.watch().open || !self.writable {
            return;
        }
        let begins = matches!(*event, ServerMessage::SessionBegin { .. });
        self.outbox.push(event);
        if let Some(notice) = self.notice.take_if(|_| begins) {
            self.outbox.push(notice);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match self.try_write(cx) {
            Poll::Ready(Ok(moved)) => {
                self.clock.write_done();
                moved
            }
            Poll::Ready(Err(_)) if self.watch().open => {
                self.writable = false;
                self.outbox.clear();
                true
            }
            Poll::Ready(Err(_)) => {
                self.client_gone("reset", now);
                true
            }
            Poll::Pending => {
                let sent = self.socket.as_ref().map_or(0, |socket| socket.get_ref().sent());
                self.clock.write_blocked(now, sent > self.sent);
                self.sent = sent;
                false
            }
        }
    }

    /// Writes until nothing is left. Pending while the kernel takes nothing; meanwhile partials coalesce in the outbox.
    fn try_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WsError>> {
        let mut moved = false;
        while let Some(socket) = self.socket.as_mut().filter(|_| self.writable) {
            let mut socket = Pin::new(socket);
            if self.flushing {
                std::task::ready!(socket.as_mut().poll_flush(cx))?;
                self.flushing = false;
                moved = true;
                self.flushed();
                continue;
            }
            while let Some(message) = next_message(&mut self.ping_due, &mut self.outbox, &mut self.parting) {
                self.flushing = true;
                if let Message::Text(text) = &message {
                    self.metrics.websocket_message(Direction::Out, text.len());
                    self.tally.events_out += 1;
                }
                socket.as_mut().start_send(message)?;
                std::task::ready!(socket.as_mut().poll_ready(cx))?;
            }
            if !self.flushing {
                break;
            }
        }
        Poll::Ready(Ok(moved))
    }

    fn flushed(&mut self) {
        match self.parting {
            Parting::Sent => self.clock.expect_echo(self.limits.close_timeout, Instant::now()),
            Parting::Echoing => self.socket = None,
            Parting::Not | Parting::Waiting(_) | Parting::Queued(_) => {}
        }
    }

    // ---- client to worker

    fn may_read(&self) -> bool {
        let paused = self.held.is_clients() || self.winding_down.is_some();
        // Once we close, what comes is thrown away, up to the echo.
        self.readable && !(paused && matches!(self.parting, Parting::Not))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let may_read = self.may_read();
        let Some(socket) = self.socket.as_mut().filter(|_| may_read) else { return false };
        match Pin::new(socket).poll_next(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(Message::Close(frame)))) => self.client_closed(frame.as_ref(), now),
            Poll::Ready(Some(Ok(message))) => self.frame(message, now),
            Poll::Ready(Some(Err(error))) => self.read_failed(error, now),
            Poll::Ready(None) => self.client_gone("eof", now),
        }
        true
    }

    fn frame(&mut self, message: Message, now: Instant) {
        self.clock.heard(now);
        if !self.watch().open || self.ended {
            return;
        }
        match message {
            Message::Binary(audio) if audio.is_empty() => {}
            Message::Binary(audio) => {
                self.metrics.websocket_message(Direction::In, audio.len());
                self.tally.audio_bytes += audio.len() as u64;
                self.clock.active(now);
                self.held.audio(audio);
            }
            Message::Text(text) => {
                self.metrics.websocket_message(Direction::In, text.len());
                self.tally.messages_in += 1;
                match self.control(&text, now) {
                    Ok(()) => self.clock.active(now),
                    Err(error) => self.fault(&error, now),
                }
            }
            Message::Ping(_) => {
                // The pong is made by tungstenite, and must not wait for the next event.
                self.flushing = true;
                if !self.bucket.take(now) {
                    self.fault(&self.too_many_messages(), now);
                }
            }
            Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }

    fn control(&mut self, text: &str, now: Instant) -> Result<(), ApiError> {
        if !self.bucket.take(now) {
            return Err(self.too_many_messages());
        }
        if text.len() > self.limits.max_text {
            return Err(too_large(text.len(), self.limits.max_text));
        }
        match ClientMessage::parse(text)? {
            ClientMessage::Keepalive => {}
            message => {
                self.ended = matches!(message, ClientMessage::End);
                self.held.message(message);
            }
        }
        Ok(())
    }

    fn too_many_messages(&self) -> ApiError {
        let message = format!("more than {} messages a second", self.limits.messages_per_second);
        ApiError::new(ErrorCode::RateLimited, message)
    }

    fn poll_forward(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        while let Some(to_worker) = self.to_worker.as_mut() {
            if self.held.is_empty() {
                if self.held.hangs_up() {
                    self.to_worker = None;
                }
                break;
            }
            match to_worker.poll_reserve(cx) {
                Poll::Pending => {
                    self.clock.worker_blocked(now);
                    break;
                }
                Poll::Ready(Ok(())) => {
                    self.clock.worker_took(now);
                    // Cannot fail: the place is reserved, and something waits.
                    let _ = self.held.next().map(|message| to_worker.send_item(message));
                    moved = true;
                    if self.ended && self.held.is_empty() && self.winding_down.is_none() {
                        self.clock.expect_worker(self.limits.worker_timeout, now);
                    }
                }
                // It hears no more, so it is about to end; what it has to say is still to come.
                Poll::Ready(Err(_)) => {
                    self.to_worker = None;
                    self.clock.expect_worker(self.limits.worker_timeout, now);
                }
            }
        }
        if self.to_worker.is_none() {
            self.held.clear();
        }
        moved
    }

    // ---- ends

    fn decide(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// After the events that wait, the close frame.
    fn close_with(&mut self, code: u16, reason: &str) {
        if !self.watch().open {
            return;
        }
        if !self.writable {
            self.socket = None;
            return;
        }
        let frame = CloseFrame { code: WireCode::from(code), reason: Utf8Bytes::from(reason) };
        self.parting = Parting::Queued(Box::new(frame));
    }

    /// Tells the client what is wrong, and closes.
    fn refuse(&mut self, error: &ApiError) {
        self.decide(Verdict::error(error));
        self.tell(error);
    }

    fn tell(&mut self, error: &ApiError) {
        if self.watch().open {
            self.outbox.push(Box::new(ServerMessage::error(error, false)));
            let close = error.close();
            self.close_with(close.code.as_u16(), close.frame_reason());
        }
    }

    /// The client did what it must not.
    fn fault(&mut self, error: &ApiError, now: Instant) {
        self.refuse(error);
        self.dismiss_worker(error.close(), now);
    }

    fn read_failed(&mut self, error: WsError, now: Instant) {
        self.readable = false;
        let (code, reason) = match error {
            WsError::Capacity(_) => {
                let limit = self.limits.max_message;
                return self
                    .fault(&ApiError::new(ErrorCode::TooLarge, format!("a message may have {limit} bytes")), now);
            }
            WsError::Utf8(_) => (WireCode::Invalid, "text must be UTF-8"),
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return self.client_gone("eof", now),
            WsError::Protocol(_) => (WireCode::Protocol, "against the WebSocket protocol"),
            _ => return self.client_gone("reset", now),
        };
        self.decide(Verdict::violation(code.into()));
        self.close_with(code.into(), reason);
        self.dismiss_worker(Close::new(CloseCode::BadRequest, reason), now);
    }

    fn client_closed(&mut self, frame: Option<&CloseFrame>, now: Instant) {
        self.readable = false;
        if matches!(self.parting, Parting::Sent) {
            // The echo: both sides have said all.
            self.socket = None;
            return;
        }
        self.decide(Verdict::closed_by_client(frame.map(|frame| frame.code.into())));
        self.outbox.clear();
        self.parting = Parting::Echoing;
        self.flushing = true;
        self.hang_up(now);
    }

    fn client_gone(&mut self, cause: &'static str, now: Instant) {
        self.decide(Verdict::gone(cause));
        self.socket = None;
        self.readable = false;
        self.outbox.clear();
        self.hang_up(now);
    }

    /// The worker answers for what it received, as after `end`.
    fn hang_up(&mut self, now: Instant) {
        if self.from_worker.is_some() {
            self.held.then_hang_up();
            self.clock.expect_worker(self.limits.worker_timeout, now);
        }
    }

    /// The worker answers for nothing.
    fn dismiss_worker(&mut self, close: Close, now: Instant) {
        if self.from_worker.is_some() {
            self.held.clear();
            self.held.then_close(close);
            self.clock.expect_worker(self.limits.worker_timeout, now);
        }
    }

    /// The session ends for a reason of ours: what was received is answered, no more is read.
    fn wind_down(&mut self, close: Close, within: Duration) {
        if self.winding_down.is_none() && self.watch().open {
            self.held.then_close(close.clone());
            self.winding_down = Some(Box::new(close));
            self.clock.expect_worker(within, Instant::now());
        }
    }

    fn worker_closed(&mut self, close: &Close) {
        self.decide(Verdict::worker(close, self.fatal));
        self.close_with(close.code.as_u16(), close.frame_reason());
        self.worker_ended();
    }

    fn worker_died(&mut self, cause: &'static str) {
        self.decide(Verdict::worker_lost(cause));
        self.tell(&ApiError::new(ErrorCode::Internal, "the worker of this session was lost; connect again"));
        self.worker_ended();
    }

    fn worker_ended(&mut self) {
        self.parting = match std::mem::replace(&mut self.parting, Parting::Not) {
            Parting::Queued(frame) => Parting::Waiting(frame),
            other => other,
        };
        self.from_worker = None;
        self.to_worker = None;
        self.held.clear();
        self.clock.worker_ended();
    }

    /// The slot may be another session's by now.
    fn lost_slot(&mut self) {
        self.decide(Verdict::worker_lost("lease_lost"));
        let error = ApiError::new(ErrorCode::Internal, "the session lost its place at the worker; connect again");
        self.tell(&error);
        self.dismiss_worker(error.close(), Instant::now());
    }

    fn overdue(&mut self, cx: &mut Context<'_>, due: Due, now: Instant) {
        self.clock.strike(due);
        match due {
            Due::Ping => {
                self.ping_due = true;
                self.clock.pinged(self.limits, now);
            }
            Due::PeerDead => self.client_gone("no_pong", now),
            Due::Idle => {
                let seconds = self.limits.idle_timeout.as_secs_f64();
                let message = format!("no audio and no message for {seconds} s; `keepalive` keeps a session open");
                self.fault(&ApiError::new(ErrorCode::ClientIdle, message), now);
            }
            Due::WriteStalled => self.give_up_reader(cx, now),
            Due::MaxDuration => {
                let seconds = self.limits.max_duration.unwrap_or_default().as_secs_f64();
                let reason = format!("a session may last {seconds} s; connect again");
                self.wind_down(Close::new(CloseCode::RateLimited, reason), self.limits.worker_timeout);
            }
            Due::WorkerOverdue => match self.winding_down.take() {
                Some(close) => self.worker_closed(&close),
                None => self.worker_died("worker_overdue"),
            },
            Due::EchoOverdue => self.socket = None,
        }
    }

    /// The client does not read, so it will hardly read this.
    fn give_up_reader(&mut self, cx: &mut Context<'_>, now: Instant) {
        let error = ApiError::new(ErrorCode::ClientNotReading, "events are not read");
        self.decide(Verdict::error(&error));
        if let Some(socket) = self.socket.as_mut() {
            let close = error.close();
            let frame = CloseFrame { code: WireCode::from(close.code.as_u16()), reason: close.frame_reason().into() };
            let mut socket = Pin::new(socket);
            let _ = socket.as_mut().start_send(Message::Close(Some(frame)));
            let _ = socket.poll_flush(cx);
        }
        self.client_gone("not_reading", now);
        self.dismiss_worker(error.close(), now);
    }

    fn has_parted(&self) -> bool {
        let told = matches!(self.parting, Parting::Sent) && !self.flushing && !self.readable;
        self.socket.is_none() || told
    }
}

/// What is to be written next, in this order: a ping, events, the close frame.
fn next_message(ping_due: &mut bool, outbox: &mut Outbox, parting: &mut Parting) -> Option<Message> {
    if std::mem::take(ping_due) {
        return Some(Message::Ping(bytes::Bytes::new()));
    }
    if let Some(event) = outbox.pop() {
        let json = serde_json::to_string(&*event).expect("every event has a JSON form");
        return Some(Message::Text(json.into()));
    }
    match std::mem::replace(parting, Parting::Sent) {
        Parting::Queued(frame) => Some(Message::Close(Some(*frame))),
        other => {
            *parting = other;
            None
        }
    }
}

fn too_large(size: usize, limit: usize) -> ApiError {
    ApiError::new(ErrorCode::TooLarge, format!("a text message of {size} bytes; at most {limit} are allowed"))
}
