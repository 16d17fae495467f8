//! The trace of one live session, made for the audio path.
//!
//! A session is traced as a whole or not at all. Not at all is an empty `Option`: one predictable branch per call, no
//! allocation, no clock. When it is traced, each operation is counted, then a coin is tossed **before** anything is made
//! ([`crate::sampling`]); only a kept operation becomes a span, after the fact, from the two instants of its [`Lap`].
//!
//! Nothing can attach to the session by mistake: no method hands out the session span as a parent, and the context that
//! [`SessionTrace::log_ids`] sets lends its ids to log lines but takes no children ([`crate::bridge`]). So a chunk that
//! is not kept has no subtree either.

mod observed;
mod traced;

use std::time::{Duration, Instant};

use opentelemetry::Context;

use crate::outcome::SessionOutcome;
use crate::span::InSpan;
use crate::{TraceContext, Tracers};
pub use observed::{Chunk, SessionStart, SessionTotals, Transcript, TranscriptKind, VadEndpoint};
use traced::Traced;

/// A clock that runs only if somebody will look.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Option<Instant>);

impl Stopwatch {
    /// The lap from its start until now. It may be called on another thread.
    #[inline]
    pub fn stop(self) -> Lap {
        Lap(self.0.map(|start| (start, Instant::now())))
    }
}

/// From when to when an operation ran; empty when nobody looked at the clock.
#[derive(Clone, Copy, Debug)]
pub struct Lap(Option<(Instant, Instant)>);

impl Lap {
    /// For callers that read the clock for another reason already, such as a histogram.
    #[inline]
    pub const fn between(start: Instant, end: Instant) -> Self {
        Self(Some((start, end)))
    }

    /// Its start and end; an empty one is over in the moment in which it is told.
    #[inline]
    fn or_now(self) -> (Instant, Instant) {
        self.0.unwrap_or_else(|| {
            let now = Instant::now();
            (now, now)
        })
    }

    /// Whether it lasted longer than this. Asked for every chunk: an addition is cheaper than the difference.
    #[inline]
    fn exceeds(self, limit: Duration) -> bool {
        self.0.is_some_and(|(start, end)| start.checked_add(limit).is_some_and(|due| end > due))
    }
}

/// The trace of one session: `Send`, a pointer when off.
#[derive(Debug, Default)]
pub struct SessionTrace(Option<Box<Traced>>);

impl SessionTrace {
    /// A session without a trace.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Opens `realtime.session` under `parent` and exports `realtime.session_start` at once. If the parent's trace is not
    /// kept, or tracing is off, nothing is opened.
    pub fn begin(tracers: &Tracers, parent: &TraceContext, start: &SessionStart<'_>) -> Self {
        Self::begin_seeded(tracers, parent, start, None)
    }

    /// As [`SessionTrace::begin`], with coins that fall the same way in every run.
    pub fn begin_seeded(tracers: &Tracers, parent: &TraceContext, start: &SessionStart<'_>, seed: Option<u64>) -> Self {
        let Some(pipeline) = tracers.pipeline() else { return Self::none() };
        Self(Traced::begin(pipeline.clone(), parent, start, seed).map(Box::new))
    }

    /// Whether anything is recorded.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// The session's trace, for `session.begin` and log lines.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|traced| traced.trace_id())
    }

    /// The header to send along with requests that are made for the session.
    pub fn traceparent(&self) -> Option<String> {
        self.0.as_ref().and_then(|traced| traced.context().to_traceparent())
    }

    /// Starts a clock, if the session is traced.
    #[inline]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch(self.0.as_ref().map(|_| Instant::now()))
    }

    /// A chunk was processed.
    #[inline]
    pub fn chunk(&mut self, lap: Lap, chunk: Chunk) {
        if let Some(traced) = &mut self.0 {
            traced.chunk(lap, chunk);
        }
    }

    /// The endpointer decided.
    #[inline]
    pub fn vad_endpoint(&mut self, lap: Lap, endpoint: VadEndpoint) {
        if let Some(traced) = &mut self.0 {
            traced.vad_endpoint(lap, endpoint);
        }
    }

    /// The recogniser spoke.
    #[inline]
    pub fn transcript(&mut self, lap: Lap, transcript: Transcript) {
        if let Some(traced) = &mut self.0 {
            traced.transcript(lap, transcript);
        }
    }

    /// The session was drained and closed.
    pub fn close(&mut self, lap: Lap, outcome: SessionOutcome, close_code: u16) {
        if let Some(traced) = &mut self.0 {
            traced.close(lap, outcome, close_code);
        }
    }

    /// Sets the exact totals and ends the session span.
    pub fn end(mut self, totals: &SessionTotals) {
        if let Some(traced) = &mut self.0 {
            traced.end(totals);
        }
    }

    /// What makes the session's ids those of every log line. `tracing` spans below it stay out of the trace.
    pub fn log_ids(&self) -> LogIds {
        LogIds(self.0.as_ref().map(|traced| traced.for_logs()))
    }
}

/// The ids of a session, for log lines only.
#[derive(Clone, Debug)]
pub struct LogIds(Option<Context>);

impl LogIds {
    /// Gives every log line that `future` writes the session's ids.
    pub fn around<F>(self, future: F) -> InSpan<F> {
        InSpan::new(future, self.0)
    }
}
