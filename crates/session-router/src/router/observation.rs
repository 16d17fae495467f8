//! What is recorded of an allocation: its span, its time and its log lines, whichever way it ends.

use std::sync::Arc;

use dalston_protocol::{ErrorCode, WorkerId};
use dalston_telemetry::{Label, Metrics, Span, TraceContext, key, names::event};
use tokio::time::Instant;
use tracing::{info, warn};

use super::SessionRequest;
use crate::{Reservation, link::Refusal};

/// How an allocation ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    /// With a worker.
    Allocated,
    /// With an error for the client.
    Refused(ErrorCode),
    /// The client left while it waited.
    Cancelled,
}

/// One allocation under observation. Dropped without an end, it was cancelled.
pub(super) struct Observation {
    span: Span,
    metrics: Arc<Metrics>,
    begun: Instant,
    outcome: Outcome,
    attempts: usize,
    /// Workers that had room at the first look.
    candidates: Option<usize>,
    /// Who was tried last.
    last: Option<(WorkerId, String)>,
}

impl Observation {
    pub(super) fn begin(span: Span, request: &SessionRequest, metrics: &Arc<Metrics>) -> Self {
        if span.is_recording() {
            span.set(key::SESSION_ID, Label::new(request.session_id.as_str()));
            span.set(key::REQUEST_ID, Label::new(request.request_id.as_str()));
            span.set(key::LANGUAGE, Label::new(&request.config.language));
            if let Some(model) = &request.config.model {
                span.set(key::MODEL, Label::new(model));
            }
        }
        let metrics = metrics.clone();
        let outcome = Outcome::Cancelled;
        Self { span, metrics, begun: Instant::now(), outcome, attempts: 0, candidates: None, last: None }
    }

    /// What the worker's spans stand under.
    pub(super) fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// The session has moved so often, this time included.
    pub(super) fn moves(&self, moves: u32) {
        self.span.set(key::SESSION_MOVES, moves);
    }

    pub(super) fn attempt(&mut self, reservation: &Reservation) {
        self.attempts += 1;
        self.candidates.get_or_insert(reservation.candidates);
        self.last = Some((reservation.worker_id.clone(), reservation.engine_id.clone()));
    }

    pub(super) fn refused(&self, worker: &WorkerId, refusal: &Refusal) {
        let why = match refusal {
            Refusal::Full => "full",
            Refusal::Draining => "draining",
            Refusal::Unreachable(_) => "unreachable",
            Refusal::Rejected(_) => "rejected",
        };
        self.span.in_scope(|| match refusal {
            Refusal::Unreachable(_) => warn!(worker_id = %worker, %refusal, "a worker did not take a session"),
            // Happens in good health, too.
            _ => info!(worker_id = %worker, %refusal, "a worker did not take a session"),
        });
        let worker = Label::new(worker.as_str());
        self.span.event(event::WORKER_REFUSED, [(key::WORKER_ID, worker.into()), (key::ERROR_TYPE, why.into())]);
    }

    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.metrics.allocation.observe(self.begun.elapsed());
        if !self.span.is_recording() {
            return;
        }
        self.span.set(key::CANDIDATES, self.candidates.unwrap_or(0));
        self.span.set(key::ATTEMPTS, self.attempts);
        if let Some((worker, engine)) = &self.last {
            self.span.set(key::WORKER_ID, Label::new(worker.as_str()));
            self.span.set(key::ENGINE_ID, Label::new(engine));
        }
        match self.outcome {
            Outcome::Allocated => self.span.set(key::OUTCOME, "allocated"),
            Outcome::Cancelled => self.span.set(key::OUTCOME, "cancelled"),
            Outcome::Refused(code) => {
                self.span.set(key::OUTCOME, code.as_str());
                // What the client got wrong is no failure of ours.
                if code.http_status() >= 500 {
                    self.span.fail(code.as_str(), "no worker was allocated");
                }
            }
        }
    }
}
