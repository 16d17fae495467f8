//! The spans of recent traces, in memory, so that a waterfall can be shown without a collector.
//!
//! Bounded in spans and in bytes. When a bound is passed, the trace that was touched longest ago goes, whole. A single
//! trace may hold a quarter of the ring; beyond that its *sampled* spans are not taken any more, while those that make up
//! its structure are: samples give way, the tree stays.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use crate::component::{Component, ServiceNames};
use crate::names::key;
use crate::record::{SpanRecord, TraceSummary};

/// How much a ring may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Spans.
    pub spans: usize,
    /// Bytes, estimated.
    pub bytes: usize,
}

impl Default for RingLimits {
    /// Some dozens of sessions at the default rates.
    fn default() -> Self {
        Self { spans: 20_000, bytes: 16 << 20 }
    }
}

impl RingLimits {
    /// So many spans, and the bytes that as many ordinary ones take.
    pub const fn of_spans(spans: usize) -> Self {
        Self { spans, bytes: spans.saturating_mul(1024) }
    }
}

/// A bounded memory of traces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceRing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: RingLimits,
    names: ServiceNames,
    // A std-like mutex: no await happens under it, and it is held for a push.
    traces: Mutex<Traces>,
}

#[derive(Debug, Default)]
struct Traces {
    by_id: HashMap<TraceId, Kept>,
    /// One entry per stored span; an entry is stale when its trace has been touched since. So it is as long as the ring holds spans.
    touched: VecDeque<(TraceId, u64)>,
    clock: u64,
    spans: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<(Component, SpanData)>,
    bytes: usize,
    touched: u64,
}

impl TraceRing {
    /// An empty ring.
    pub fn new(limits: RingLimits, names: ServiceNames) -> Self {
        Self(Arc::new(Shared { limits, names, traces: Mutex::default() }))
    }

    /// The spans of a trace so far, by start. `None`: never seen, or evicted. Spans appear when they end, so the parents of an open
    /// session are still missing.
    pub fn get(&self, trace_id: &str) -> Option<Vec<SpanRecord>> {
        let trace_id = TraceId::from_hex(trace_id).ok()?;
        // Cloned under the lock and converted outside it: a reader must not hold up an audio thread.
        let kept = self.0.traces.lock().by_id.get(&trace_id)?.spans.clone();
        let mut spans: Vec<_> = kept.iter().map(|(c, span)| SpanRecord::new(self.0.names.of(*c), span)).collect();
        spans.sort_by_key(|span| span.start_unix_nanos);
        Some(spans)
    }

    /// Recent traces, the latest first, at most `limit`.
    pub fn recent(&self, limit: usize) -> Vec<TraceSummary> {
        let traces = self.0.traces.lock();
        let mut latest: Vec<_> = traces.by_id.iter().map(|(id, kept)| (kept.touched, *id)).collect();
        latest.sort_unstable_by_key(|(touched, _)| std::cmp::Reverse(*touched));
        latest.truncate(limit);
        let summary = |(_, id): &(u64, TraceId)| {
            let spans = &traces.by_id.get(id)?.spans;
            TraceSummary::new(*id, spans.iter().map(|(component, span)| (self.0.names.of(*component), span)))
        };
        latest.iter().filter_map(summary).collect()
    }

    pub(crate) fn insert(&self, component: Component, span: SpanData) {
        let limits = self.0.limits;
        let bytes = estimate(&span);
        if limits.spans == 0 || bytes > limits.bytes {
            return;
        }
        let trace_id = span.span_context.trace_id();
        let mut traces = self.0.traces.lock();
        traces.push(trace_id, component, span, bytes, limits);
        while traces.spans > limits.spans || traces.bytes > limits.bytes {
            traces.evict_oldest();
        }
    }
}

impl Traces {
    fn push(&mut self, trace_id: TraceId, component: Component, span: SpanData, bytes: usize, limits: RingLimits) {
        let kept = self.by_id.entry(trace_id).or_default();
        let over_share = kept.spans.len() >= limits.spans.div_ceil(4) || kept.bytes >= limits.bytes.div_ceil(4);
        if over_share && is_sample(&span) {
            return;
        }
        self.clock += 1;
        kept.spans.push((component, span));
        kept.bytes += bytes;
        kept.touched = self.clock;
        self.touched.push_back((trace_id, self.clock));
        self.spans += 1;
        self.bytes += bytes;
    }

    fn evict_oldest(&mut self) {
        while let Some((trace_id, touched)) = self.touched.pop_front() {
            let is_current = self.by_id.get(&trace_id).is_some_and(|kept| kept.touched == touched);
            if is_current && let Some(evicted) = self.by_id.remove(&trace_id) {
                self.spans -= evicted.spans.len();
                self.bytes -= evicted.bytes;
                return;
            }
        }
    }
}

/// Whether the span stands for others beside itself.
fn is_sample(span: &SpanData) -> bool {
    let one = opentelemetry::Value::F64(1.0);
    let is_weight = |kv: &&opentelemetry::KeyValue| kv.key.as_str() == key::ADJUSTED_COUNT.as_str();
    span.attributes.iter().find(is_weight).is_some_and(|weight| weight.value != one)
}

fn estimate(span: &SpanData) -> usize {
    let attributes = |list: &[opentelemetry::KeyValue]| -> usize {
        list.iter().map(|kv| size_of_val(kv) + text_len(&kv.value)).sum()
    };
    let events: usize = span.events.iter().map(|event| size_of_val(event) + attributes(&event.attributes)).sum();
    size_of::<(Component, SpanData)>() + span.name.len() + attributes(&span.attributes) + events
}

fn text_len(value: &opentelemetry::Value) -> usize {
    match value {
        opentelemetry::Value::String(text) => text.as_str().len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
