//! Spans, sampling, propagation, log format and metrics: every name an operator sees.
//!
//! It knows nothing of the domain but its names. `main` calls [`configure_tracing`] and keeps the guard; services make
//! spans with [`tracers`], the realtime worker keeps a [`SessionTrace`] per session, and all count in [`Metrics`].

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
pub use metrics::{DecoderMetrics, Direction, Metrics, Seconds};
pub use names::{Key, key};
pub use options::{LogFormat, Options, SpanRates};
pub use outcome::SessionOutcome;
pub use record::{EventRecord, LinkRecord, SpanRecord, TraceSummary};
pub use ring::{RingLimits, TraceRing};
pub use sampler::{RootSampler, SamplerPolicy};
pub use session::{
    Chunk, Lap, SessionStart, SessionTotals, SessionTrace, Stopwatch, Transcript, TranscriptKind, VadEndpoint,
};
pub use span::{InSpan, Span};
pub use telemetry::{Telemetry, TelemetryGuard, configure_tracing};
pub use tracers::{Tracers, tracers};
