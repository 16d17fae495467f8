//! Ordinary `tracing` spans of our own crates, shown in the trace.
//!
//! The catalogue is made with the OpenTelemetry API, because its spans have remote parents, exact instants or a hot path, none of
//! which `tracing` has. Whoever writes `tracing::info_span!("load_model")` in a crate of ours still finds it in the waterfall, in
//! the lane of that crate's component and below the catalogue span that is current. Three things stay out:
//!
//! * spans of other crates (the exporter's own transport would trace itself), and those below `info`;
//! * spans that only lend fields to log lines ([`crate::logs::scope`]);
//! * whatever a session's hot path might open: [`TakesNoChildren`] marks its context.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{Span, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span as SdkSpan;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::registry::LookupSpan;

use crate::component::Component;
use crate::names::SCOPE_TARGET;
use crate::tracers::SharedPipeline;

/// In a context: log lines may have its ids, spans may not have it as a parent.
pub(crate) struct TakesNoChildren;

/// The layer, filtered to spans of our crates.
pub(crate) fn layer<S>(pipeline: SharedPipeline) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(RoutingTracer { pipeline })
        // The target is how a span finds its component.
        .with_target(true)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(our_spans())
}

fn our_spans() -> FilterFn {
    FilterFn::new(is_ours as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_ours = target.starts_with("dalston") && target != SCOPE_TARGET;
    metadata.is_span() && is_ours && *metadata.level() <= Level::INFO
}

/// Gives a span to the provider of the component that its target names.
struct RoutingTracer {
    pipeline: SharedPipeline,
}

impl Tracer for RoutingTracer {
    type Span = BridgedSpan;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> BridgedSpan {
        if parent.get::<TakesNoChildren>().is_some() {
            return BridgedSpan::Refused(parent.span().span_context().clone());
        }
        let tracer = self.pipeline.tracer(component_of(&builder));
        BridgedSpan::Kept(tracer.build_with_context(builder, parent))
    }
}

fn component_of(builder: &SpanBuilder) -> Component {
    let target = builder.attributes.iter().flatten().find(|attribute| attribute.key.as_str() == "target");
    target.map_or(Component::Process, |attribute| Component::of_target(&attribute.value.as_str()))
}

/// A span of the SDK, or none: then it passes on the ids of the parent that refused it, so that log lines still have them.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and boxing it would cost an allocation a span"
)]
enum BridgedSpan {
    Kept(SdkSpan),
    Refused(SpanContext),
}

impl BridgedSpan {
    fn kept(&mut self) -> Option<&mut SdkSpan> {
        match self {
            Self::Kept(span) => Some(span),
            Self::Refused(_) => None,
        }
    }
}

impl Span for BridgedSpan {
    fn add_event_with_timestamp<T>(&mut self, name: T, timestamp: SystemTime, attributes: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = self.kept() {
            span.add_event_with_timestamp(name, timestamp, attributes);
        }
    }

    fn span_context(&self) -> &SpanContext {
        match self {
            Self::Kept(span) => span.span_context(),
            Self::Refused(parent) => parent,
        }
    }

    fn is_recording(&self) -> bool {
        matches!(self, Self::Kept(span) if span.is_recording())
    }

    fn set_attribute(&mut self, attribute: KeyValue) {
        if let Some(span) = self.kept() {
            span.set_attribute(attribute);
        }
    }

    fn set_status(&mut self, status: Status) {
        if let Some(span) = self.kept() {
            span.set_status(status);
        }
    }

    fn update_name<T>(&mut self, name: T)
    where
        T: Into<Cow<'static, str>>,
    {
        if let Some(span) = self.kept() {
            span.update_name(name);
        }
    }

    fn add_link(&mut self, span_context: SpanContext, attributes: Vec<KeyValue>) {
        if let Some(span) = self.kept() {
            span.add_link(span_context, attributes);
        }
    }

    fn end_with_timestamp(&mut self, timestamp: SystemTime) {
        if let Some(span) = self.kept() {
            span.end_with_timestamp(timestamp);
        }
    }
}
