//! What is left of a session when it is over: a span, a count and a log line, each exactly once.

use std::{sync::Arc, time::Instant};

use dalston_protocol::{RequestId, SessionId, realtime::SessionConfig};
use dalston_session_router::Allocated;
use dalston_telemetry::{Metrics, Span, key};
use tracing::{info, warn};

use super::{pump::Tally, verdict::Verdict};

/// A session under observation. Dropped without an end, its task failed, and that is recorded too.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) session_id: SessionId,
    pub(super) request_id: RequestId,
    pub(super) span: Span,
    /// Whose session it is, once that is known.
    pub(super) tenant: Option<Arc<str>>,
    metrics: Arc<Metrics>,
    began: Instant,
    is_open: bool,
    ended: Option<(Verdict, Tally)>,
}

impl Record {
    pub(super) fn new(span: Span, request_id: RequestId, metrics: Arc<Metrics>) -> Self {
        let session_id = SessionId::generate();
        span.label(key::REQUEST_ID, request_id.as_str());
        Self { session_id, request_id, span, tenant: None, metrics, began: Instant::now(), is_open: false, ended: None }
    }

    /// What the client asked for.
    pub(super) fn asked(&self, config: &SessionConfig) {
        self.span.label(key::AUDIO_ENCODING, &config.encoding);
        self.span.set(key::AUDIO_SAMPLE_RATE, config.sample_rate);
        self.span.set(key::AUDIO_CHANNELS, config.channels);
    }

    /// The session has its worker: from here on it is open.
    pub(super) fn opened(&mut self, allocated: &Allocated) {
        self.is_open = true;
        self.metrics.sessions_open.inc();
        self.span.label(key::WORKER_ID, allocated.worker_id.as_str());
        self.span.label(key::ENGINE_ID, &allocated.engine_id);
        self.span.label(key::LANGUAGE, &allocated.language);
    }

    /// The client left before it had a socket.
    pub(super) fn end_unheard(self) {
        self.end(Verdict::gone("handshake"), Tally::default());
    }

    pub(super) fn end(mut self, verdict: Verdict, tally: Tally) {
        self.ended = Some((verdict, tally));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let failed = || (Verdict::failed(), Tally::default());
        let (Verdict { outcome, code, cause }, tally) = self.ended.unwrap_or_else(failed);
        if self.is_open {
            self.metrics.sessions_open.dec();
        }
        self.metrics.session_ended(outcome);
        // Only now: one that is resumed is another one than the request seemed to begin.
        self.span.label(key::SESSION_ID, self.session_id.as_str());
        self.span.set(key::AUDIO_BYTES, tally.audio_bytes);
        self.span.set(key::DROPPED_EVENTS, tally.coalesced);
        self.span.session_ended(outcome, code);
        self.span.in_scope(|| {
            let (session_id, request_id) = (&self.session_id, &self.request_id);
            let (seconds, is_fault) = (self.began.elapsed().as_secs_f64(), outcome.is_server_fault());
            let (outcome, Tally { audio_bytes, messages_in, events_out, coalesced }) = (outcome.as_str(), tally);
            let tenant = self.tenant.as_deref();
            macro_rules! line {
                ($level:ident) => {
                    $level!(
                        %request_id, %session_id, tenant, outcome, cause, close_code = code, seconds, audio_bytes, messages_in,
                        events_out, coalesced, "session ended"
                    )
                };
            }
            if is_fault { line!(warn) } else { line!(info) }
        });
    }
}
