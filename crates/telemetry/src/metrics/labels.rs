//! Labels, each from a list that cannot grow.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};

use crate::names::metric;
use crate::outcome::SessionOutcome;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    In = 0,
    /// To the client.
    Out = 1,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::In, Self::Out];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DirectionLabels {
    direction: &'static str,
}

impl DirectionLabels {
    pub(super) fn new(direction: Direction) -> Self {
        let direction = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        Self { direction }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    outcome: &'static str,
}

impl OutcomeLabels {
    pub(super) fn new(outcome: SessionOutcome) -> Self {
        Self { outcome: outcome.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteLabels {
    route: Arc<str>,
}

impl RouteLabels {
    pub(super) fn new(route: &Arc<str>) -> Self {
        Self { route: Arc::clone(route) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HttpLabels {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

impl HttpLabels {
    /// A method outside the usual ones is `other`, a status outside 100–599 is 0.
    pub(super) fn new(method: &str, route: Arc<str>, status: u16) -> Self {
        const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        Self { method, route, status: if (100..600).contains(&status) { status } else { 0 } }
    }
}

/// The routes seen so far, at most 64.
#[derive(Debug, Default)]
pub(super) struct BoundedRoutes(RwLock<HashSet<Arc<str>>>);

const MAX_ROUTES: usize = 64;

impl BoundedRoutes {
    pub(super) fn resolve(&self, route: &str) -> Arc<str> {
        if let Some(known) = self.0.read().get(route) {
            return Arc::clone(known);
        }
        let mut routes = self.0.write();
        if routes.len() >= MAX_ROUTES && !routes.contains(route) {
            return Arc::from("other");
        }
        let route: Arc<str> = Arc::from(route);
        routes.insert(Arc::clone(&route));
        route
    }
}

/// Lost spans by reason, read from counters that stand elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DropLabels {
    reason: &'static str,
}

impl DropLabels {
    pub(super) fn collector(by_reason: [(&'static str, &Counter); 3]) -> impl Collector + use<> {
        DropCollector(by_reason.map(|(reason, counter)| (Self { reason }, counter.clone())))
    }
}

#[derive(Debug)]
struct DropCollector([(DropLabels, Counter); 3]);

impl Collector for DropCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let help = "Spans that were lost, by reason.";
        let mut family = encoder.encode_descriptor(metric::SPANS_DROPPED, help, None, MetricType::Counter)?;
        for (labels, counter) in &self.0 {
            ConstCounter::new(counter.get()).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}
