//! Numbers for Prometheus. Handles are resolved once and cheap to clone; counters and gauges are one atomic operation, a
//! histogram is a short uncontended lock. Every label comes from a closed list, so the number of series is bounded.

mod jobs;
mod labels;
mod process;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::export::SpanCounters;
use crate::names::metric;
use crate::outcome::SessionOutcome;
pub use jobs::JobMetrics;
pub use labels::Direction;
use labels::{BoundedRoutes, DirectionLabels, DropLabels, HttpLabels, OutcomeLabels, RouteLabels};

/// Counters of the spans that this process's installed tracing exports. One set whatever is configured first.
pub(crate) fn process_span_counters() -> &'static SpanCounters {
    static COUNTERS: LazyLock<SpanCounters> = LazyLock::new(SpanCounters::default);
    &COUNTERS
}

/// A histogram of seconds.
#[derive(Clone, Debug)]
pub struct Seconds(Histogram);

impl Seconds {
    /// `start` seconds, doubling, `buckets` times.
    fn doubling(start: f64, buckets: u16) -> Self {
        Self(Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(start, 2.0, buckets)))
    }

    /// Counts one observation.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }
}

/// All metrics of a process and the registry they are read from. Share it in an `Arc`, or clone single handles.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Live sessions.
    pub sessions_open: Gauge,
    /// Sessions that went on at another worker.
    pub sessions_moved: Counter,
    /// Sessions whose clients came back.
    pub sessions_resumed: Counter,
    /// Live sessions whose clients are gone and may come back.
    pub sessions_awaited: Gauge,
    /// From the loss of a session's worker, or its word that it goes down, to the next one.
    pub session_move: Seconds,
    /// From request to reserved worker.
    pub allocation: Seconds,
    /// Received minus processed audio, observed as chunks are processed.
    pub lag: Seconds,
    /// Lag warnings sent to clients.
    pub lag_warnings: Counter,
    /// From the start of speech to its first partial.
    pub first_partial: Seconds,
    /// From the end of speech to its final.
    pub speech_to_final: Seconds,
    /// VAD time per chunk.
    pub vad: Seconds,
    /// Recogniser time per call.
    pub decode: Seconds,
    /// Audio received, in seconds.
    pub audio_seconds: Counter<f64, std::sync::atomic::AtomicU64>,
    /// The decoders and who waits for them.
    pub decoder: DecoderMetrics,
    /// Jobs, tasks and queues.
    pub jobs: JobMetrics,
    /// Open TCP connections.
    pub connections_open: Gauge,
    websocket_bytes: [Counter; 2],
    websocket_messages: [Counter; 2],
    sessions_ended: Family<OutcomeLabels, Counter>,
    http_requests: Family<HttpLabels, Counter>,
    http_duration: Family<RouteLabels, Histogram>,
    routes: BoundedRoutes,
}

/// The bounded pool of decoder streams.
#[derive(Clone, Debug)]
pub struct DecoderMetrics {
    /// Streams in use.
    pub in_use: Gauge,
    /// Streams there are.
    pub limit: Gauge,
    /// Sessions that wait for a stream.
    pub waiting: Gauge,
    /// How long they waited.
    pub wait: Seconds,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// The metrics of this process.
    pub fn new() -> Self {
        Self::with_spans(process_span_counters())
    }

    /// As [`Metrics::new`], with the span counters of another pipeline.
    pub fn with_spans(spans: &SpanCounters) -> Self {
        let websocket_bytes = Family::<DirectionLabels, Counter>::default();
        let websocket_messages = Family::<DirectionLabels, Counter>::default();
        let metrics = Self {
            sessions_open: Gauge::default(),
            sessions_moved: Counter::default(),
            sessions_resumed: Counter::default(),
            sessions_awaited: Gauge::default(),
            session_move: Seconds::doubling(1e-3, 16),
            allocation: Seconds::doubling(1e-6, 22),
            lag: Seconds::doubling(0.005, 12),
            lag_warnings: Counter::default(),
            first_partial: Seconds::doubling(0.01, 11),
            speech_to_final: Seconds::doubling(0.01, 11),
            vad: Seconds::doubling(1e-6, 16),
            decode: Seconds::doubling(1e-4, 16),
            audio_seconds: Counter::default(),
            decoder: DecoderMetrics {
                in_use: Gauge::default(),
                limit: Gauge::default(),
                waiting: Gauge::default(),
                wait: Seconds::doubling(1e-3, 14),
            },
            jobs: JobMetrics::default(),
            connections_open: Gauge::default(),
            websocket_bytes: Direction::ALL.map(|d| websocket_bytes.get_or_create_owned(&DirectionLabels::new(d))),
            websocket_messages: Direction::ALL
                .map(|d| websocket_messages.get_or_create_owned(&DirectionLabels::new(d))),
            sessions_ended: Family::default(),
            http_requests: Family::default(),
            http_duration: Family::new_with_constructor(|| Seconds::doubling(1e-4, 16).0),
            routes: BoundedRoutes::default(),
            registry: Registry::default(),
        };
        // Every outcome is there from the start: a rate over a series that appears with its first failure misses it.
        for outcome in SessionOutcome::ALL {
            let _ = metrics.sessions_ended.get_or_create(&OutcomeLabels::new(outcome));
        }
        let mut registry = Registry::default();
        // Without a prefix: these names are what every dashboard asks for.
        registry.register_collector(Box::new(process::ProcessCollector));
        let ours = registry.sub_registry_with_prefix(metric::PREFIX);
        metrics.register(ours);
        metrics.jobs.register(ours);
        let payload = "Payload of WebSocket messages";
        ours.register_with_unit(metric::WEBSOCKET_BYTES, payload, Unit::Bytes, websocket_bytes);
        ours.register(metric::WEBSOCKET_MESSAGES, "WebSocket messages", websocket_messages);
        register_spans(ours, spans);
        Self { registry, ..metrics }
    }

    fn register(&self, registry: &mut Registry) {
        let mut seconds = |name: &str, help: &str, metric: &Seconds| {
            registry.register_with_unit(name, help, Unit::Seconds, metric.0.clone());
        };
        seconds(metric::ALLOCATION, "Time from request to reserved worker", &self.allocation);
        seconds(metric::SESSION_MOVE, "Time from the loss of a session's worker to the next one", &self.session_move);
        seconds(metric::LAG, "Received minus processed audio", &self.lag);
        seconds(metric::FIRST_PARTIAL, "Time from the start of speech to its first partial", &self.first_partial);
        seconds(metric::SPEECH_TO_FINAL, "Time from the end of speech to its final", &self.speech_to_final);
        seconds(metric::VAD, "Voice activity detection per chunk", &self.vad);
        seconds(metric::DECODE, "Recogniser time per call", &self.decode);
        seconds(metric::DECODER_WAIT, "Time waited for a decoder stream", &self.decoder.wait);
        let mut gauge = |name: &str, help: &str, metric: &Gauge| registry.register(name, help, metric.clone());
        gauge(metric::SESSIONS_OPEN, "Live sessions", &self.sessions_open);
        gauge(
            metric::SESSIONS_AWAITED,
            "Live sessions that wait for their clients to come back",
            &self.sessions_awaited,
        );
        gauge(metric::CONNECTIONS_OPEN, "Open TCP connections", &self.connections_open);
        gauge(metric::DECODER_IN_USE, "Decoder streams in use", &self.decoder.in_use);
        gauge(metric::DECODER_LIMIT, "Decoder streams there are", &self.decoder.limit);
        gauge(metric::DECODER_WAITING, "Sessions that wait for a decoder stream", &self.decoder.waiting);
        registry.register(
            metric::SESSIONS_MOVED,
            "Sessions that went on at another worker",
            self.sessions_moved.clone(),
        );
        registry.register(metric::SESSIONS_RESUMED, "Sessions whose clients came back", self.sessions_resumed.clone());
        registry.register(metric::LAG_WARNINGS, "Lag warnings sent", self.lag_warnings.clone());
        registry.register_with_unit(metric::AUDIO, "Audio received", Unit::Seconds, self.audio_seconds.clone());
        registry.register(metric::SESSIONS_ENDED, "Sessions that ended, by outcome", self.sessions_ended.clone());
        registry.register(metric::HTTP_REQUESTS, "HTTP requests", self.http_requests.clone());
        registry.register_with_unit(metric::HTTP_DURATION, "Time to answer", Unit::Seconds, self.http_duration.clone());
    }

    /// A session ended, or was refused, in this way.
    pub fn session_ended(&self, outcome: SessionOutcome) {
        self.sessions_ended.get_or_create(&OutcomeLabels::new(outcome)).inc();
    }

    /// How many sessions ended in this way.
    pub fn sessions_ended(&self, outcome: SessionOutcome) -> u64 {
        self.sessions_ended.get_or_create(&OutcomeLabels::new(outcome)).get()
    }

    /// A request was answered. `route` is the route's template, never a path: after 64 of them the rest are `other`.
    pub fn http_request(&self, method: &str, route: &str, status: u16, duration: Duration) {
        let route = self.routes.resolve(route);
        self.http_duration.get_or_create(&RouteLabels::new(&route)).observe(duration.as_secs_f64());
        self.http_requests.get_or_create(&HttpLabels::new(method, route, status)).inc();
    }

    /// A WebSocket message of so many bytes passed.
    #[inline]
    pub fn websocket_message(&self, direction: Direction, bytes: usize) {
        self.websocket_bytes[direction as usize].inc_by(bytes as u64);
        self.websocket_messages[direction as usize].inc();
    }

    /// The text that `/metrics` answers with (OpenMetrics, content type [`Metrics::CONTENT_TYPE`]).
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a String cannot fail, so this is a collector of ours that did.
            Err(std::fmt::Error) => String::from("# EOF\n"),
        }
    }

    /// What [`Metrics::encode`] writes.
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

fn register_spans(registry: &mut Registry, spans: &SpanCounters) {
    registry.register(metric::SPANS_EXPORTED, "Spans that the collector took", spans.exported.clone());
    let by_reason = [
        ("queue_full", &spans.dropped_queue_full),
        ("export_failed", &spans.dropped_export_failed),
        ("shutdown", &spans.dropped_at_shutdown),
    ];
    registry.register_collector(Box::new(DropLabels::collector(by_reason)));
}

#[cfg(test)]
mod tests;
