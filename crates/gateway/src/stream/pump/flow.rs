//! What moves: two paths, each of two steps. A step says whether it moved anything; one that did not has left word to
//! be woken.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use dalston_protocol::{
    ApiError, ErrorCode,
    realtime::{ClientMessage, ServerMessage},
};
use dalston_session_router::link::FromWorker;
use dalston_telemetry::Direction;
use futures_util::{Sink, Stream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{Hearing, Parting, Pump, Reading};
use crate::stream::{outbox::Outbox, ring::Entry};

impl Pump<'_> {
    pub(super) fn poll_worker(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let is_deaf = self.outbox.is_full()
            || self.journey.as_ref().is_some_and(|journey| journey.is_asking())
            || self.keeping.as_ref().is_some_and(|keeping| keeping.is_holding());
        let Some(from_worker) = self.from_worker.as_mut().filter(|_| !is_deaf) else { return false };
        let said = match from_worker.poll_recv(cx) {
            Poll::Pending => return false,
            Poll::Ready(said) => said,
        };
        if let (Some(said), Some(journey)) = (&said, &mut self.journey)
            && !journey.hears(said)
        {
            self.clock.worker_spoke(now);
            return true;
        }
        match said {
            Some(FromWorker::Event(event)) => {
                self.clock.worker_spoke(now);
                let event = match &mut self.keeping {
                    Some(keeping) => keeping.hears(event),
                    None => Some(event),
                };
                event.into_iter().for_each(|event| self.event(event, now));
            }
            // The client has no use for it, but a worker that says so is at work.
            Some(FromWorker::Settled(_) | FromWorker::Spoken(_)) => self.clock.worker_spoke(now),
            Some(FromWorker::Leaving) => self.worker_leaves(),
            Some(FromWorker::Closed(close)) => self.worker_closed(&close),
            None => self.worker_lost("worker_died"),
        }
        true
    }

    pub(super) fn event(&mut self, event: Box<ServerMessage>, now: Instant) {
        self.clock.worker_spoke(now);
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

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let was_full = self.outbox.is_full();
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
                let took_some = self.client_took_some();
                self.clock.write_blocked(now, took_some);
                // Nobody asks the worker while the outbox is full, so nobody would be woken.
                was_full && !self.outbox.is_full()
            }
        }
    }

    /// Whether the client has taken something since we looked last.
    pub(super) fn client_took_some(&mut self) -> bool {
        let taken = self.socket.as_ref().map_or(0, |socket| socket.get_ref().taken());
        let before = std::mem::replace(&mut self.taken, taken);
        taken > before
    }

    /// Writes until nothing is left. Pending while the kernel takes nothing; meanwhile partials coalesce in the outbox.
    pub(super) fn try_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WsError>> {
        let mut moved = false;
        while let Some(socket) = self.socket.as_mut().filter(|_| self.writable) {
            let mut socket = Pin::new(socket);
            if self.flushing {
                ready!(socket.as_mut().poll_flush(cx))?;
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
                ready!(socket.as_mut().poll_ready(cx))?;
            }
            if !self.flushing {
                break;
            }
        }
        Poll::Ready(Ok(moved))
    }

    pub(super) fn flushed(&mut self) {
        match self.parting {
            Parting::Sent => {
                self.clock.expect_echo(self.limits.close_timeout, Instant::now());
                // An echo may be lost among the scraps. That nothing follows makes the client close.
                if let Some(socket) = self.socket.as_ref().filter(|_| self.reading == Reading::Scraps) {
                    socket.get_ref().say_no_more();
                }
            }
            Parting::Echoing => self.socket = None,
            Parting::Not | Parting::Waiting(_) | Parting::Queued(_) => {}
        }
    }

    /// Whether a message of the client's would be taken. Once we close, what comes is thrown away, up to the echo.
    pub(super) fn may_read(&self) -> bool {
        let waits = match &self.journey {
            None => self.held.is_clients(),
            Some(journey) => journey.holds_back(self.to_worker.is_some(), self.held.is_clients()),
        };
        let paused = waits || self.winding_down.as_ref().is_some_and(|down| down.hearing == Hearing::Over);
        self.reading == Reading::Frames && !(paused && matches!(self.parting, Parting::Not))
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let may_read = self.may_read();
        let Some(socket) = self.socket.as_mut() else { return false };
        if self.reading == Reading::Scraps {
            let ended = socket.get_mut().poll_scraps(cx).is_ready();
            if ended {
                self.client_gone("eof", now);
            }
            return ended;
        }
        if !may_read {
            return false;
        }
        match Pin::new(socket).poll_next(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Ok(Message::Close(frame)))) => self.client_closed(frame.as_ref(), now),
            Poll::Ready(Some(Ok(message))) => self.frame(message, now),
            Poll::Ready(Some(Err(error))) => self.read_failed(&error, now),
            Poll::Ready(None) => self.client_gone("eof", now),
        }
        true
    }

    pub(super) fn frame(&mut self, message: Message, now: Instant) {
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
                match &mut self.journey {
                    None => self.held.audio(audio),
                    Some(journey) => journey.take(Entry::Audio(audio)),
                }
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

    pub(super) fn control(&mut self, text: &str, now: Instant) -> Result<(), ApiError> {
        if !self.bucket.take(now) {
            return Err(self.too_many_messages());
        }
        if text.len() > self.limits.max_text {
            return Err(too_large(text.len(), self.limits.max_text));
        }
        match ClientMessage::parse(text)? {
            ClientMessage::Keepalive => {}
            message if self.journey.as_mut().is_some_and(|journey| journey.has_answered(&message)) => {}
            message => {
                self.ended = matches!(message, ClientMessage::End);
                match &mut self.journey {
                    None => self.held.message(message),
                    Some(journey) => journey.take(Entry::Message(Box::new(message))),
                }
            }
        }
        Ok(())
    }

    pub(super) fn too_many_messages(&self) -> ApiError {
        let message = format!("more than {} messages a second", self.limits.messages_per_second);
        ApiError::new(ErrorCode::RateLimited, message)
    }

    pub(super) fn poll_forward(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        while let Some(to_worker) = self.to_worker.as_mut() {
            if let Some(journey) = self.journey.as_mut().filter(|_| !self.held.is_clients()) {
                match journey.ring.next() {
                    Some(Entry::Audio(audio)) => self.held.audio(audio),
                    Some(Entry::Message(message)) => self.held.message(*message),
                    // It has caught up.
                    None => journey.is_replaying = false,
                }
            }
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
                    let waits = self.journey.as_ref().is_some_and(|journey| journey.ring.waits());
                    if self.ended && self.held.is_empty() && !waits && self.winding_down.is_none() {
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
}

/// What is to be written next, in this order: a ping, events, the close frame.
fn next_message(ping_due: &mut bool, outbox: &mut Outbox, parting: &mut Parting) -> Option<Message> {
    if std::mem::take(ping_due) {
        return Some(Message::Ping(Bytes::new()));
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
