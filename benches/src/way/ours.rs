//! `SessionTrace`, as the realtime worker uses it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use dalston_telemetry::{
    Lap, Options, RingLimits, RootSampler, SamplerPolicy, SessionStart, SessionTrace, SpanCounters, SpanRates,
    TelemetryError, TelemetryGuard, Tracers,
};

use super::{Session, Way};
use crate::work::{CHUNK, Work};

/// What a session is told of itself.
pub const START: SessionStart<'_> = SessionStart {
    session_id: "ses_01JD3V5W8Y9ZK4M7N2P6Q8R0ST",
    request_id: "req_01JD3V5W8Y9ZK4M7N2P6Q8R0ST",
    worker_id: "wrk_1",
    engine_id: "loopback",
    model: "loopback",
    language: "en",
    encoding: "pcm_s16le",
    sample_rate: 16_000,
    channels: 1,
};

/// Coins fall the same way in every run.
const SEED: u64 = 7;

/// The ring is cleared this often, so that a short run has its share of clearing.
const RING: RingLimits = RingLimits::of_spans(1_000);

fn options(way: Way) -> Options {
    let options = Options::new("dalston");
    let ring = Some(RING);
    match way {
        Way::Unsampled => {
            let sampler = SamplerPolicy { root: RootSampler::AlwaysOff, parent_based: true };
            Options { sampler, trace_ring: ring, ..options }
        }
        Way::Rate(chunk) => Options { rates: SpanRates { chunk, ..SpanRates::ALL }, trace_ring: ring, ..options },
        Way::EveryChunkStopwatch => Options { rates: SpanRates::ALL, trace_ring: ring, ..options },
        _ => options,
    }
}

fn open(options: &Options) -> Result<(SessionTrace, TelemetryGuard), TelemetryError> {
    let (tracers, guard) = Tracers::start(options, SpanCounters::default())?;
    let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
    Ok((SessionTrace::begin_seeded(&tracers, &root.context(), &START, Some(SEED)), guard))
}

/// The caller has looked at the clock anyway, for its histograms: so it is in the session loop.
pub(super) struct Timed {
    trace: SessionTrace,
    began: Instant,
    ended: Instant,
}

impl Timed {
    pub(super) fn open(way: Way) -> Result<Self, TelemetryError> {
        // Without a collector the guard guards nothing.
        let (trace, _guard) = open(&options(way))?;
        let began = Instant::now();
        Ok(Self { trace, began, ended: began + Duration::from_micros(5) })
    }
}

impl Session for Timed {
    #[inline(never)]
    fn chunks(&mut self, work: &Work, count: u64) {
        let (began, ended) = (self.began, self.ended);
        for _ in 0..count {
            let session = black_box(&mut *self);
            work.process();
            session.trace.chunk(Lap::between(began, ended), CHUNK);
        }
    }
}

/// The clock is read for the trace alone.
pub(super) struct Watched(SessionTrace);

impl Watched {
    pub(super) fn open(way: Way) -> Result<Self, TelemetryError> {
        let (trace, _guard) = open(&options(way))?;
        Ok(Self(trace))
    }
}

impl Session for Watched {
    #[inline(never)]
    fn chunks(&mut self, work: &Work, count: u64) {
        for _ in 0..count {
            let Self(trace) = black_box(&mut *self);
            let watch = trace.stopwatch();
            work.process();
            trace.chunk(watch.stop(), CHUNK);
        }
    }
}

/// The caller's clock again, every chunk a span, on its way to a collector instead of the ring.
pub struct Exported {
    timed: Timed,
    guard: TelemetryGuard,
    counters: SpanCounters,
}

impl Exported {
    /// Spans go to the OTLP receiver at `endpoint`.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub fn open(endpoint: String) -> Result<Self, TelemetryError> {
        let options = Options { otel_enabled: true, endpoint, rates: SpanRates::ALL, ..Options::new("dalston") };
        let counters = SpanCounters::default();
        let (tracers, guard) = Tracers::start(&options, counters.clone())?;
        let root = tracers.websocket("/v1/audio/transcriptions/stream", None);
        let trace = SessionTrace::begin_seeded(&tracers, &root.context(), &START, Some(SEED));
        let began = Instant::now();
        let timed = Timed { trace, began, ended: began + Duration::from_micros(5) };
        Ok(Self { timed, guard, counters })
    }

    /// Spans that were lost.
    pub fn dropped(&self) -> u64 {
        self.counters.dropped()
    }
}

impl Session for Exported {
    fn chunks(&mut self, work: &Work, count: u64) {
        self.timed.chunks(work, count);
    }

    /// Waits until the collector has them.
    fn settle(&mut self) {
        assert!(self.guard.flush(Duration::from_secs(10)), "the collector takes no spans");
    }
}
