//! How it ends: what each side's end means for the other. The first cause is the session's ([`Verdict`]).

use std::{pin::Pin, task::Context, time::Duration};

use dalston_protocol::{ApiError, Close, CloseCode, ErrorCode, realtime::ServerMessage};
use dalston_session_router::link::Departure;
use futures_util::Sink;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{
    Error as WsError, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
};

use super::{CATCH_UP, Hearing, Parting, Pump, Reading, WindingDown};
use crate::stream::{clock::Due, verdict::Verdict};

impl Pump<'_> {
    pub(super) fn decide(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// After the events that wait, the close frame.
    pub(super) fn close_with(&mut self, code: u16, reason: &str) {
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
    pub(super) fn refuse(&mut self, error: &ApiError) {
        self.decide(Verdict::error(error));
        self.tell(error);
    }

    pub(super) fn tell(&mut self, error: &ApiError) {
        if self.watch().open {
            self.outbox.push(Box::new(ServerMessage::error(error, false)));
            let close = error.close();
            self.close_with(close.code.as_u16(), close.frame_reason());
        }
    }

    /// The client did what it must not.
    pub(super) fn fault(&mut self, error: &ApiError, now: Instant) {
        self.refuse(error);
        self.dismiss_worker(error.close(), now);
    }

    pub(super) fn read_failed(&mut self, error: &WsError, now: Instant) {
        self.reading = Reading::Scraps;
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

    pub(super) fn client_closed(&mut self, frame: Option<&CloseFrame>, now: Instant) {
        self.reading = Reading::Nothing;
        if matches!(self.parting, Parting::Sent) {
            // The echo: both sides have said all.
            self.socket = None;
            self.is_heard |= self.absent.is_none();
            return;
        }
        self.outbox.clear();
        let closed = Verdict::closed_by_client(frame.map(|frame| frame.code.into()));
        if self.may_return() && !Self::is_farewell(frame) {
            self.await_client(closed, now);
        } else {
            self.forget();
            self.absent = None;
            self.decide(closed);
            self.hang_up(now);
        }
        if self.writable {
            self.parting = Parting::Echoing;
            self.flushing = true;
        } else {
            self.socket = None;
        }
    }

    pub(super) fn client_gone(&mut self, cause: &'static str, now: Instant) {
        self.socket = None;
        self.reading = Reading::Nothing;
        self.outbox.clear();
        if self.may_return() {
            return self.await_client(Verdict::gone(cause), now);
        }
        self.decide(Verdict::gone(cause));
        self.hang_up(now);
    }

    /// The worker answers for what it received, as after `end`. It is told how the session ended, which is decided by now, for
    /// its record to say the same.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.stop_searching();
        if self.from_worker.is_some() {
            let how = self.verdict.map_or(Departure::VANISHED, Verdict::departure);
            self.held.then_hang_up(how);
            self.clock.expect_worker(self.limits.worker_timeout, now);
        }
    }

    /// The worker answers for nothing.
    pub(super) fn dismiss_worker(&mut self, close: Close, now: Instant) {
        self.stop_searching();
        if self.from_worker.is_some() {
            self.held.clear();
            if let Some(journey) = &mut self.journey {
                journey.ring.drop_unsent();
            }
            self.held.then_close(close);
            self.clock.expect_worker(self.limits.worker_timeout, now);
        }
    }

    /// The server goes down.
    pub(super) fn drain(&mut self, within: Duration) {
        let now = Instant::now();
        if self.can_be_sent_away() {
            return self.send_away(within, now);
        }
        self.give_up_client(now);
        self.wind_down(Close::new(CloseCode::Restart, "the server is going down; connect again"), within);
    }

    /// The session ends for a reason of ours: what has been sent so far is answered, no more is read. One that ends
    /// already has no longer for it either.
    pub(super) fn wind_down(&mut self, close: Close, within: Duration) {
        if self.is_searching() && self.winding_down.is_none() {
            self.stop_searching();
            return self.worker_closed(&close);
        }
        self.stop_searching();
        let now = Instant::now();
        self.clock.end_within(within, now);
        if self.winding_down.is_none() && self.watch().open {
            self.winding_down = Some(Box::new(WindingDown { close, hearing: Hearing::UnderWay }));
            self.clock.catch_up(CATCH_UP, now);
        }
    }

    /// What was under way has arrived. It may take long until it is read: while the worker is busy, it waits.
    pub(super) fn arrived(&mut self) {
        let arrived = self.socket.as_ref().map_or(0, |socket| socket.get_ref().arrived());
        if let Some(winding_down) = &mut self.winding_down {
            winding_down.hearing = Hearing::UpTo(arrived);
        }
    }

    /// Whether all that had arrived has just been read; then the worker is told to finish.
    pub(super) fn has_caught_up(&mut self) -> bool {
        let Some(WindingDown { hearing: Hearing::UpTo(arrived), close }) = self.winding_down.as_deref() else {
            return false;
        };
        if self.socket.as_ref().is_some_and(|socket| socket.get_ref().taken_apart() < *arrived) {
            return false;
        }
        let close = close.clone();
        if self.watch().open {
            self.held.then_close(close);
        }
        if let Some(winding_down) = &mut self.winding_down {
            winding_down.hearing = Hearing::Over;
        }
        true
    }

    pub(super) fn worker_closed(&mut self, close: &Close) {
        self.tell_what_is_held(Instant::now());
        if let Some(keeping) = &mut self.keeping {
            keeping.closes(close.code.as_u16(), close.frame_reason());
        }
        self.decide(Verdict::worker(close, self.fatal));
        self.close_with(close.code.as_u16(), close.frame_reason());
        self.worker_ended();
    }

    pub(super) fn worker_died(&mut self, cause: &'static str) {
        self.decide(Verdict::worker_lost(cause));
        self.tell(&Self::lost_for_good());
        self.worker_ended();
    }

    /// The close frame may go.
    pub(super) fn slot_is_free(&mut self) {
        self.parting = match std::mem::replace(&mut self.parting, Parting::Not) {
            Parting::Waiting(frame) => Parting::Queued(frame),
            other => other,
        };
    }

    pub(super) fn worker_ended(&mut self) {
        self.parting = match std::mem::replace(&mut self.parting, Parting::Not) {
            Parting::Queued(frame) => Parting::Waiting(frame),
            other => other,
        };
        if let (Some(keeping), Some(journey)) = (&mut self.keeping, &mut self.journey) {
            keeping.stands(journey.standing());
        }
        self.from_worker = None;
        self.to_worker = None;
        self.journey = None;
        self.held.clear();
        self.clock.worker_ended();
    }

    pub(super) fn overdue(&mut self, cx: &mut Context<'_>, due: Due, now: Instant) {
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
            Due::WriteStalled if self.client_took_some() => self.clock.write_blocked(now, true),
            Due::WriteStalled => self.give_up_reader(cx, now),
            Due::MaxDuration => {
                let seconds = self.limits.max_duration.unwrap_or_default().as_secs_f64();
                let reason = format!("a session may last {seconds} s; connect again");
                self.wind_down(Close::new(CloseCode::RateLimited, reason), self.limits.worker_timeout);
            }
            Due::WorkerOverdue => match self.winding_down.take() {
                Some(winding_down) => self.worker_closed(&winding_down.close),
                None => self.worker_lost("worker_overdue"),
            },
            Due::CaughtUp => self.arrived(),
            Due::ClientOverdue => self.give_up_client(now),
            Due::EchoOverdue => self.socket = None,
        }
    }

    /// The client does not read, so it will hardly read this.
    pub(super) fn give_up_reader(&mut self, cx: &mut Context<'_>, now: Instant) {
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
    }
}
