//! A session whose client is gone and may come back, here or at another gateway.
//!
//! Its worker goes on with what it got, and what it says is written down ([`Keeping`](super::Keeping)). It goes on
//! elsewhere, or its time is over; then it ends like that of any client that is gone.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use dalston_protocol::{ApiError, CloseCode, ErrorCode, realtime::ServerMessage};
use dalston_telemetry::{Metrics, Span, key, names::event};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tracing::info;

use super::{Pump, keeping::Step, moving::warning};
use crate::stream::verdict::Verdict;

/// That the client is gone and may come back.
pub(super) struct Absence<'a> {
    /// How the session ends if it does not.
    otherwise: Verdict,
    is_noted: bool,
    metrics: &'a Metrics,
}

impl<'a> Absence<'a> {
    fn new(otherwise: Verdict, metrics: &'a Metrics) -> Self {
        metrics.sessions_awaited.inc();
        Self { otherwise, is_noted: false, metrics }
    }
}

impl Drop for Absence<'_> {
    fn drop(&mut self) {
        self.metrics.sessions_awaited.dec();
    }
}

impl Pump<'_> {
    /// Whether a client that is gone now is waited for.
    pub(super) fn may_return(&self) -> bool {
        self.keeping.is_some() && self.verdict.is_none() && self.winding_down.is_none()
    }

    /// Whether the session is to go on: its client is there, or may come back.
    pub(super) fn goes_on(&self) -> bool {
        self.watch().open || self.absent.is_some()
    }

    /// The client is gone. If it does not come back, that is how the session ended.
    pub(super) fn await_client(&mut self, otherwise: Verdict, now: Instant) {
        if self.absent.is_some() {
            return;
        }
        let window = self.keeping.as_ref().map_or(Duration::ZERO, |keeping| keeping.window());
        self.clock.expect_client(window, now);
        self.absent = Some(Absence::new(otherwise, self.metrics));
        if let Some(journey) = &self.journey {
            info!(
                request_id = %journey.request.request_id, session_id = %journey.request.session_id,
                cause = otherwise.cause, window = window.as_secs_f64(), "a session waits for its client"
            );
        }
    }

    /// The server goes down and another gateway can have the session: its client is sent there at once.
    pub(super) fn can_be_sent_away(&self) -> bool {
        self.may_return() && self.keeping.as_ref().is_some_and(|keeping| keeping.outlives_process())
    }

    /// What waits for the client goes out before the close frame, and nothing after it: that is told where it goes on.
    ///
    /// Half of the time that is left is for the client to go on elsewhere while its worker is still at it, the other half
    /// to part from that. What is written down stays, for a client that comes later.
    pub(super) fn send_away(&mut self, within: Duration, now: Instant) {
        self.close_with(CloseCode::Restart.as_u16(), "the server is going down; resume the session");
        self.await_client(Verdict::sent_away(), now);
        self.clock.expect_client(within / 2, now);
        self.clock.end_within(within, now);
        self.keeping.iter_mut().for_each(|keeping| keeping.stays());
    }

    /// The client did not come back.
    pub(super) fn give_up_client(&mut self, now: Instant) {
        let Some(absent) = self.absent.take() else { return };
        self.decide(absent.otherwise);
        if let (Some(keeping), Some(journey)) = (&mut self.keeping, &mut self.journey) {
            // Without what the worker says from now on: it ends in the middle of an utterance.
            keeping.stands(journey.standing());
        }
        if let Some(keeping) = self.keeping.take() {
            // It bounds its waits by itself.
            self.last_words.spawn(keeping.give_up());
        }
        self.socket = None;
        self.hang_up(now);
    }

    /// Nobody is to come back for it any more, though its worker still has to answer.
    pub(super) fn forget(&mut self) {
        if let Some(keeping) = self.keeping.take() {
            // It bounds its waits by itself.
            self.last_words.spawn(keeping.conclude(None, true));
        }
    }

    /// Whether a client that closes like this means it: with 1000, without a code, or with a code of its own. A proxy
    /// that goes down says 1001, 1012 and the like.
    pub(super) fn is_farewell(frame: Option<&CloseFrame>) -> bool {
        frame.is_none_or(|frame| matches!(u16::from(frame.code), 1000 | 1005 | 3000..=4999))
    }

    /// Writes down how far the session is, and tells the client what may be told then.
    pub(super) fn poll_keeping(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let may_acknowledge = self.watch().open && !self.outbox.is_full();
        let (Some(keeping), Some(journey)) = (&mut self.keeping, &mut self.journey) else { return false };
        match keeping.poll(cx, journey, may_acknowledge) {
            Poll::Pending => return false,
            Poll::Ready(Step::Tell(event)) => self.event(event, now),
            Poll::Ready(Step::Acknowledge(bytes)) => self.notify(Box::new(ServerMessage::AudioAck { bytes })),
            Poll::Ready(Step::TakenOver) => self.taken_over(),
            Poll::Ready(Step::NotKept) => self.cannot_be_kept(now),
        }
        true
    }

    /// Its client has gone on with it elsewhere. The worker keeps nothing of it, and nobody here says anything more
    /// of it.
    fn taken_over(&mut self) {
        self.keeping = None;
        self.absent = None;
        self.decide(Verdict::resumed_elsewhere());
        self.stop_searching();
        let error = ApiError::new(ErrorCode::ResumedElsewhere, "the session goes on at another connection");
        self.tell(&error);
        self.part_from_worker();
        self.worker_ended();
    }

    fn cannot_be_kept(&mut self, now: Instant) {
        self.tell_what_is_held(now);
        self.keeping = None;
        let message = "there are too many sessions that can be resumed; this one ends with its connection";
        self.notify(warning("not_resumable", message.into()));
        if self.absent.is_some() {
            self.give_up_client(now);
        }
    }

    /// Tells the client, if it is there.
    pub(super) fn notify(&mut self, event: Box<ServerMessage>) {
        if self.watch().open && self.writable {
            self.outbox.push(event);
        }
    }

    /// What is held until it is written down is told before the end.
    pub(super) fn tell_what_is_held(&mut self, now: Instant) {
        let held = self.keeping.as_mut().and_then(|keeping| keeping.let_go());
        held.into_iter().for_each(|event| self.event(event, now));
    }

    /// Notes on the connection's span that the client is gone and awaited.
    pub(super) fn note_absence(&mut self, span: &Span) {
        if let Some(absent) = self.absent.as_mut().filter(|absent| !absent.is_noted) {
            absent.is_noted = true;
            span.event(event::CLIENT_AWAITED, [(key::ERROR_TYPE, absent.otherwise.cause.into())]);
        }
    }
}
