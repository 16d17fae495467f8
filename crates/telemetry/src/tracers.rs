//! The handle that spans are made with, and what stands behind it.

use std::sync::{Arc, OnceLock};

use opentelemetry::InstrumentationScope;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData};

use crate::component::{Component, ServiceNames};
use crate::export::{ExporterThread, SpanCounters};
use crate::options::{Options, SpanRates};
use crate::processor::{EndedSpans, RoutingProcessor};
use crate::ring::TraceRing;
use crate::sampler::ComponentSampler;
use crate::sampling::Coin;
use crate::{TelemetryError, TelemetryGuard};

static INSTALLED: OnceLock<Tracers> = OnceLock::new();
static OFF: Tracers = Tracers::off();
/// Instrumentation scope: all spans are the product's own.
const SCOPE: &str = "dalston";

/// The tracers of this process: what [`configure_tracing`](crate::configure_tracing) installed, or [`Tracers::off`].
pub fn tracers() -> &'static Tracers {
    INSTALLED.get().unwrap_or(&OFF)
}

/// Makes spans. A cheap handle; off, it is a null pointer.
#[derive(Clone, Debug, Default)]
pub struct Tracers(Option<SharedPipeline>);

impl Tracers {
    /// Makes no spans.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Whether no span can come of it.
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Builds what `options` ask for without installing it in the process. [`Telemetry::init`](crate::Telemetry::init) is for
    /// programs, this is for what wants a pipeline of its own.
    ///
    /// # Errors
    /// When the exporter cannot be built.
    pub fn start(options: &Options, counters: SpanCounters) -> Result<(Self, TelemetryGuard), TelemetryError> {
        if !options.wants_spans() {
            return Ok((Self::off(), TelemetryGuard::idle()));
        }
        let names = ServiceNames::new(options.service, options.service_name.as_deref());
        let ring = options.trace_ring.map(|limits| TraceRing::new(limits, names.clone()));
        let (queue, exporter) = match options.otel_enabled {
            true => {
                ExporterThread::spawn(options, &names, counters).map(|(queue, thread)| (Some(queue), Some(thread)))?
            }
            false => (None, None),
        };
        let ended = EndedSpans::new(queue, ring.clone());
        let tracers = Component::ALL.map(|component| {
            SdkTracerProvider::builder()
                .with_resource(resource(names.of(component)))
                .with_sampler(ComponentSampler::new(options.sampler, component.is_public_edge()))
                .with_span_processor(RoutingProcessor::new(component, ended.clone()))
                .build()
                .tracer(SCOPE)
        });
        let scope = InstrumentationScope::builder(SCOPE).build();
        let pipeline = Pipeline { tracers, coins: Coins::new(options.rates), ring, ended, scope };
        Ok((Self(Some(SharedPipeline(Arc::new(pipeline)))), TelemetryGuard::new(exporter)))
    }

    /// The ring of recent traces, if one was asked for.
    pub fn ring(&self) -> Option<&TraceRing> {
        self.0.as_ref()?.0.ring.as_ref()
    }

    pub(crate) fn pipeline(&self) -> Option<&SharedPipeline> {
        self.0.as_ref()
    }

    pub(crate) fn install(self) -> Result<(), TelemetryError> {
        INSTALLED.set(self).map_err(|_| TelemetryError::AlreadyInstalled)
    }
}

/// What all spans of a process share.
#[derive(Clone, Debug)]
pub(crate) struct SharedPipeline(Arc<Pipeline>);

#[derive(Debug)]
struct Pipeline {
    /// One per component, each of a provider with a service name of its own.
    tracers: [SdkTracer; Component::COUNT],
    coins: Coins,
    ring: Option<TraceRing>,
    /// Where spans go that were made after the fact.
    ended: EndedSpans,
    scope: InstrumentationScope,
}

impl SharedPipeline {
    pub(crate) fn tracer(&self, component: Component) -> &SdkTracer {
        &self.0.tracers[component.index()]
    }

    /// The scope of every span.
    pub(crate) fn scope(&self) -> InstrumentationScope {
        self.0.scope.clone()
    }

    /// Takes a span that was made after the fact.
    pub(crate) fn take(&self, component: Component, span: SpanData) {
        self.0.ended.take(component, span);
    }

    pub(crate) fn coins(&self) -> &Coins {
        &self.0.coins
    }
}

/// The coins of every session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coins {
    pub(crate) chunk: Coin,
    pub(crate) vad: Coin,
    pub(crate) partial: Coin,
}

impl Coins {
    fn new(rates: SpanRates) -> Self {
        Self { chunk: Coin::new(rates.chunk), vad: Coin::new(rates.vad), partial: Coin::new(rates.partial) }
    }
}

pub(crate) fn resource(service: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name(service.to_owned())
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(opentelemetry::KeyValue::new("process.pid", i64::from(std::process::id())))
        .build()
}
