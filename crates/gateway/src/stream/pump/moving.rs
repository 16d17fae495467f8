//! A session that loses its worker and goes on at another one.
//!
//! What was not answered for was kept ([`Ring`](crate::stream::ring::Ring)), so the client loses nothing and sees a pause. A
//! worker that goes down says so while it still serves; then there is not even that.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use dalston_protocol::{
    ApiError, ErrorCode, WorkerId,
    realtime::{ClientMessage, ServerMessage},
};
use dalston_session_router::{
    Allocated, LeaseGuard,
    link::{Departure, ToWorker},
};
use dalston_telemetry::{Label, Span, key, names::event};
use tokio::time::{Instant, timeout};
use tokio_util::sync::PollSender;
use tracing::{info, warn};

use super::{Hearing, Pump};
use crate::stream::held::Held;

/// For a worker that may be dead to take our last word, and to say that it did.
const LAST_WORD: Duration = Duration::from_secs(5);

impl Pump<'_> {
    /// The worker is lost. Another one goes on, unless the session ends anyway or has none to go to.
    pub(super) fn worker_lost(&mut self, why: &'static str) {
        if self.is_searching() {
            // Its lease goes after it.
            return;
        }
        self.tell_what_is_held(Instant::now());
        let is_open = self.goes_on();
        if let Some(winding_down) = self.winding_down.take_if(|_| self.journey.is_some() && is_open) {
            return self.worker_closed(&winding_down.close);
        }
        let Some(journey) = self.journey.as_mut().filter(|_| is_open).and_then(|journey| journey.counts_loss()) else {
            return self.worker_died(why);
        };
        warn!(
            request_id = %journey.request.request_id, session_id = %journey.request.session_id,
            worker_id = %journey.worker, why, "a session looks for another worker"
        );
        journey.look(why, false);
        self.part_from_worker();
        self.clock.worker_ended();
        self.is_search_new = true;
    }

    /// The worker goes down and serves the session as long as it can.
    pub(super) fn worker_leaves(&mut self) {
        let is_open = self.goes_on() && self.winding_down.is_none();
        if let Some(journey) = self.journey.as_mut().filter(|journey| is_open && journey.search.is_none()) {
            journey.look("worker_leaves", true);
            self.is_search_new = true;
        }
    }

    /// Whether the session has no worker and looks for one.
    pub(super) fn is_searching(&self) -> bool {
        self.journey.as_ref().is_some_and(|journey| journey.search.is_some()) && self.from_worker.is_none()
    }

    /// The session ends, so it goes nowhere.
    pub(super) fn stop_searching(&mut self) {
        if let Some(journey) = &mut self.journey {
            journey.search = None;
        }
    }

    /// Another worker, if one was found.
    pub(super) fn poll_search(&mut self, cx: &mut Context<'_>) -> Option<Box<Allocated>> {
        self.is_search_new = false;
        let journey = self.journey.as_mut()?;
        match journey.poll_search(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(found)) => Some(found),
            Poll::Ready(Err(error)) => {
                warn!(%error, "no other worker took a session in time");
                self.stop_searching();
                self.worker_died("no_other_worker");
                None
            }
        }
    }

    /// Goes on at another worker. Gives the lease of the new slot.
    pub(super) fn go_on(&mut self, found: Allocated, span: &Span) -> LeaseGuard {
        let Allocated { channel, lease, worker_id, .. } = found;
        self.part_from_worker();
        self.to_worker = Some(PollSender::new(channel.to_worker));
        self.from_worker = Some(channel.from_worker);
        self.held = Held::default();
        self.greet_worker();
        if let Some(winding_down) = self.winding_down.as_ref().filter(|down| down.hearing == Hearing::Over) {
            self.held.then_close(winding_down.close.clone());
        }
        let Some(journey) = &mut self.journey else { return lease };
        let last = std::mem::replace(&mut journey.worker, worker_id);
        journey.ring.rewind();
        journey.is_replaying = true;
        journey.progress.moved();
        if let Some(search) = journey.search.take() {
            let (again, took) = (journey.ring.seconds(), search.since.elapsed());
            self.metrics.sessions_moved.inc();
            self.metrics.session_move.observe(took);
            record(span, &last, &journey.worker, search.why, journey.progress.moves(), again);
            info!(
                request_id = %journey.request.request_id, session_id = %journey.request.session_id,
                from = %last, to = %journey.worker, why = search.why, took = took.as_secs_f64(), replayed = again,
                missing = search.missing.as_secs_f64(), "a session goes on at another worker"
            );
            self.notify(warning("worker_moved", "another worker goes on with this session".into()));
            if !search.missing.is_zero() {
                let (missing, until) = (search.missing.as_secs_f64(), search.from);
                let message = format!("{missing:.1} s of audio before {until} s were lost with their worker");
                self.notify(warning("audio_gap", message));
            }
        }
        let now = Instant::now();
        self.clock.active(now);
        self.clock.worker_spoke(now);
        lease
    }

    /// Tells a worker that the session, which another one had, is with it: nothing else may come for long.
    pub(super) fn greet_worker(&mut self) {
        self.held.message(ClientMessage::Keepalive);
    }

    /// Tells a worker, if it still hears anything, that it has the session no longer.
    pub(super) fn part_from_worker(&mut self) {
        let mut from_worker = self.from_worker.take();
        let Some(to_worker) = self.to_worker.take() else { return };
        let Some(sender) = to_worker.get_ref().cloned() else { return };
        drop(to_worker);
        self.last_words.spawn(async move {
            let told = async {
                let is_taken = sender.send(ToWorker::Gone(Departure::MOVED)).await.is_ok();
                drop(sender);
                // Nobody hears what else it says; that it ends says that it has heard.
                while is_taken
                    && let Some(from_worker) = &mut from_worker
                    && from_worker.recv().await.is_some()
                {}
            };
            let _ = timeout(LAST_WORD, told).await;
        });
    }

    /// No other worker took it.
    pub(super) fn lost_for_good() -> ApiError {
        ApiError::new(ErrorCode::Internal, "the worker of this session was lost; connect again")
    }
}

fn record(span: &Span, from: &WorkerId, to: &WorkerId, why: &'static str, moves: u32, again: f64) {
    span.set(key::SESSION_MOVES, moves);
    let attributes = [
        (key::WORKER_ID, Label::new(to.as_str()).into()),
        (key::LAST_WORKER_ID, Label::new(from.as_str()).into()),
        (key::ERROR_TYPE, why.into()),
        (key::REPLAYED_SECONDS, again.into()),
    ];
    span.event(event::SESSION_MOVED, attributes);
}

pub(in crate::stream) fn warning(code: &str, message: String) -> Box<ServerMessage> {
    Box::new(ServerMessage::Warning {
        code: code.into(),
        message,
        lag_seconds: None,
        warning_threshold_seconds: None,
        hard_threshold_seconds: None,
    })
}
