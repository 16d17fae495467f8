//! Spans, sampling, propagation, log format and metrics: every name an operator sees.
//!
//! Level 0: it knows nothing of the domain but its names ([`names`]), and nothing else in the workspace spells one.
//!
//! | who | uses | for |
//! | --- | --- | --- |
//! | `main` | [`configure_tracing`] or [`Telemetry::init`] | once; the [`TelemetryGuard`] delivers what is queued when it goes |
//! | services | [`tracers`], [`Span`], [`TraceContext`] | low-rate spans, and their context across tasks and processes |
//! | the audio path | [`SessionTrace`] | one per session: gate, coin, exact totals |
//! | all | `tracing` macros, [`scope`] | log lines |
//! | all | [`Metrics`] | numbers at `/metrics` |
//! | the command line | [`TraceRing`], [`SpanRecord`], [`waterfall`] | a trace without a collector |
//!
//! # A session, traced
//!
//! ```
//! use std::time::Duration;
//! use dalston_telemetry::{
//!     Chunk, Options, RingLimits, SessionOutcome, SessionStart, SessionTotals, SessionTrace, SpanCounters, SpanRates, Tracers,
//!     key, waterfall,
//! };
//!
//! // A program calls `Telemetry::init(&options)` and `tracers()`; an example wants a pipeline of its own.
//! let options =
//!     Options { trace_ring: Some(RingLimits::default()), rates: SpanRates::ALL, ..Options::new("dalston") };
//! let (tracers, _guard) = Tracers::start(&options, SpanCounters::default())?;
//!
//! // The gateway opens the root; the client's own trace may be its parent.
//! let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
//! root.label(key::REQUEST_ID, "req_1");
//!
//! // The session router records its decision, the worker opens the session below it.
//! let allocate = tracers.allocate(&root.context());
//! allocate.set(key::CANDIDATES, 3usize);
//! let start = SessionStart {
//!     session_id: "ses_1", request_id: "req_1", worker_id: "wrk_1", engine_id: "loopback", model: "loopback",
//!     language: "en", encoding: "pcm_s16le", sample_rate: 16_000, channels: 1,
//! };
//! let mut session = SessionTrace::begin(&tracers, &allocate.context(), &start);
//! drop(allocate);
//!
//! // The audio path: one branch when the session is not traced.
//! let watch = session.stopwatch();
//! // … decode, resample, detect …
//! let chunk = Chunk { audio: Duration::from_millis(20), bytes: 640, lag: Duration::ZERO, failed: false };
//! session.chunk(watch.stop(), chunk);
//!
//! session.end(&SessionTotals {
//!     outcome: SessionOutcome::Completed, close_code: 1000, audio: Duration::from_millis(20), speech: Duration::ZERO,
//!     utterances: 0, lag_max: Duration::ZERO, dropped_events: 0,
//! });
//! root.session_ended(SessionOutcome::Completed, 1000);
//! let trace_id = root.context().trace_id().expect("tracing is on");
//! drop(root);
//!
//! let spans = tracers.ring().expect("asked for above").get(&trace_id).expect("just ended");
//! assert_eq!(spans.len(), 5);
//! print!("{}", waterfall::render(&spans, 120, false));
//! # Ok::<(), dalston_telemetry::TelemetryError>(())
//! ```
//!
//! # What is absent on purpose
//!
//! * No way for text into a span: keys are constants of this crate, values are numbers, words of the program and
//!   [`Label`]s. (Fields of ordinary `tracing` spans and log lines are the caller's own responsibility.)
//! * No span of the session as a parent: a chunk that is not sampled has no subtree either.
//! * No wait on a collector: an ended span is queued or counted as dropped.

mod bridge;
mod component;
mod context;
mod error;
mod export;
mod label;
mod logs;
mod metrics;
pub mod names;
mod options;
mod outage;
mod outcome;
mod panics;
mod processor;
mod record;
mod ring;
mod sampler;
mod sampling;
mod session;
mod span;
mod telemetry;
mod tracers;
pub mod waterfall;

pub use component::{Component, ServiceNames};
pub use context::TraceContext;
pub use error::{BadVariable, TelemetryError};
pub use export::SpanCounters;
pub use label::{AttrValue, Label};
pub use logs::scope;
pub use metrics::{DecoderMetrics, Direction, JobMetrics, Metrics, Seconds};
pub use names::{Key, key};
pub use options::{LogFormat, Options, SpanRates};
pub use outcome::SessionOutcome;
pub use record::{EventRecord, LinkRecord, SpanRecord, TraceSummary};
pub use ring::{RingLimits, TraceRing};
pub use sampler::{RootSampler, SamplerPolicy};
pub use session::{
    Chunk, Lap, LogIds, SessionStart, SessionTotals, SessionTrace, Stopwatch, Transcript, TranscriptKind, VadEndpoint,
};
pub use span::{InSpan, MessagingOperation, Span, StepKind};
pub use telemetry::{Telemetry, TelemetryGuard, configure_tracing};
pub use tracers::{Tracers, tracers};
