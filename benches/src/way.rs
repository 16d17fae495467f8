//! The ways of tracing a chunk: none, ours under every setting, and what others offer.
//!
//! All of them give a chunk span the same five attributes and the same parent. Ended spans of the others are thrown away by the
//! cheapest processor there can be; ours go where they go in production, into the ring or the exporter's queue.

mod fastrace;
mod opentelemetry;
pub mod ours;
mod tracing;

use std::hint::black_box;

use dalston_telemetry::TelemetryError;

use crate::work::Work;

/// A way of tracing chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// No instrumentation in the code at all: what the others are held against.
    Bare,
    /// Tracing is off in this process.
    Off,
    /// As `Off`, where the caller has no use for the clock but the trace.
    OffStopwatch,
    /// Tracing is on, this session's trace is not kept.
    Unsampled,
    /// The session is traced; a chunk has a span with this probability, kept in the ring.
    Rate(f64),
    /// As `Rate(1.0)`, where the caller has no use for the clock but the trace.
    EveryChunkStopwatch,
    /// OpenTelemetry's API and SDK by themselves, every span kept.
    OpenTelemetry,
    /// … and every span refused by the sampler.
    OpenTelemetryRefused,
    /// `tracing` spans through tracing-opentelemetry, every span kept.
    Tracing,
    /// … and every span refused by the sampler.
    TracingRefused,
    /// fastrace, sampled.
    Fastrace,
}

impl Way {
    /// Each of them, in the order of the tables.
    pub const ALL: [Self; 14] = [
        Self::Bare,
        Self::Off,
        Self::OffStopwatch,
        Self::Unsampled,
        Self::Rate(0.0),
        Self::Rate(0.01),
        Self::Rate(0.1),
        Self::Rate(1.0),
        Self::EveryChunkStopwatch,
        Self::OpenTelemetry,
        Self::OpenTelemetryRefused,
        Self::Tracing,
        Self::TracingRefused,
        Self::Fastrace,
    ];

    /// As tables and the command line call it.
    pub fn name(self) -> String {
        match self {
            Self::Bare => "no instrumentation".into(),
            Self::Off => "off".into(),
            Self::OffStopwatch => "off, own stopwatch".into(),
            Self::Unsampled => "session not sampled".into(),
            Self::Rate(rate) => format!("rate {rate}"),
            Self::EveryChunkStopwatch => "rate 1, own stopwatch".into(),
            Self::OpenTelemetry => "OpenTelemetry API, kept".into(),
            Self::OpenTelemetryRefused => "OpenTelemetry API, sampler says no".into(),
            Self::Tracing => "tracing-opentelemetry, kept".into(),
            Self::TracingRefused => "tracing-opentelemetry, sampler says no".into(),
            Self::Fastrace => "fastrace, sampled".into(),
        }
    }

    /// The way of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }

    /// Opens a session that is traced in this way.
    ///
    /// # Errors
    /// As [`dalston_telemetry::Tracers::start`].
    pub fn open(self) -> Result<Box<dyn Session>, TelemetryError> {
        Ok(match self {
            Self::Bare => Box::new(Bare { _place: 0 }),
            Self::Off | Self::Unsampled | Self::Rate(_) => Box::new(ours::Timed::open(self)?),
            Self::OffStopwatch | Self::EveryChunkStopwatch => Box::new(ours::Watched::open(self)?),
            Self::OpenTelemetry => Box::new(opentelemetry::Plain::open(true)),
            Self::OpenTelemetryRefused => Box::new(opentelemetry::Plain::open(false)),
            Self::Tracing => Box::new(tracing::Bridged::open(true)),
            Self::TracingRefused => Box::new(tracing::Bridged::open(false)),
            Self::Fastrace => Box::new(fastrace::Fast::open()),
        })
    }
}

/// A session in which chunks are traced in one way.
///
/// A call does many chunks, so that the call itself weighs nothing. In the loop the session is a black box to the compiler,
/// which could otherwise look once whether there is a trace and not again for each chunk.
pub trait Session {
    /// Processes and traces so many chunks.
    fn chunks(&mut self, work: &Work, count: u64);

    /// Lets what happens behind the caller's back finish. Not part of what a chunk costs.
    fn settle(&mut self) {}
}

/// Untraced, and yet not of no size: its loop loads and stores the session as the others do.
struct Bare {
    _place: u64,
}

impl Session for Bare {
    #[inline(never)]
    fn chunks(&mut self, work: &Work, count: u64) {
        for _ in 0..count {
            let _session = black_box(&mut *self);
            work.process();
        }
    }
}
