//! Where a span goes when it ends: into the queue of the exporter, into the ring, or both. It never waits.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use crate::component::Component;
use crate::export::SpanQueue;
use crate::ring::TraceRing;

/// The two places, shared by all components.
#[derive(Clone, Debug)]
pub(crate) struct EndedSpans(Arc<Places>);

#[derive(Debug)]
struct Places {
    queue: Option<SpanQueue>,
    ring: Option<TraceRing>,
}

impl EndedSpans {
    pub(crate) fn new(queue: Option<SpanQueue>, ring: Option<TraceRing>) -> Self {
        Self(Arc::new(Places { queue, ring }))
    }

    pub(crate) fn take(&self, component: Component, span: SpanData) {
        match (&self.0.queue, &self.0.ring) {
            (Some(queue), Some(ring)) => {
                ring.insert(component, span.clone());
                queue.push(component, span);
            }
            (Some(queue), None) => queue.push(component, span),
            (None, Some(ring)) => ring.insert(component, span),
            (None, None) => {}
        }
    }
}

/// Tells the two places which component a span is of.
#[derive(Debug)]
pub(crate) struct RoutingProcessor {
    component: Component,
    ended: EndedSpans,
}

impl RoutingProcessor {
    pub(crate) fn new(component: Component, ended: EndedSpans) -> Self {
        Self { component, ended }
    }
}

impl SpanProcessor for RoutingProcessor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.ended.take(self.component, span);
    }

    /// Delivery belongs to the guard, which knows how long it may take.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
