//! A span as it is stored, sent as JSON and drawn: the server writes it, the command line reads it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use serde::{Deserialize, Serialize};

/// An ended span. Ids are lower-case hex, times are nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
    /// 16 digits; absent for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Whether the parent belongs to another process, such as the client's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parent_is_remote: bool,
    /// Span name.
    pub name: String,
    /// Lane.
    pub service: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// Since 1970.
    pub start_unix_nanos: u64,
    /// How long it ran.
    pub duration_nanos: u64,
    /// `unset`, `ok` or `error`.
    pub status: String,
    /// What an error says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    /// By key.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// In order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventRecord>,
    /// Other spans it belongs with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkRecord>,
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Event name.
    pub name: String,
    /// Since 1970.
    pub unix_nanos: u64,
    /// By key.
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
}

/// A span of this or another trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
}

/// A line in a list of traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// 32 digits.
    pub trace_id: String,
    /// Name of the root, or of the earliest span while the root is open.
    pub name: String,
    /// Its lane.
    pub service: String,
    /// Earliest start.
    pub start_unix_nanos: u64,
    /// From the earliest start to the latest end.
    pub duration_nanos: u64,
    /// Spans so far.
    pub spans: usize,
    /// Whether a span failed.
    pub has_error: bool,
}

impl SpanRecord {
    pub(crate) fn new(service: &str, span: &SpanData) -> Self {
        let (status, status_message) = match &span.status {
            Status::Unset => ("unset", None),
            Status::Ok => ("ok", None),
            Status::Error { description } => ("error", Some(description.to_string())),
        };
        let link = |link: &opentelemetry::trace::Link| LinkRecord {
            trace_id: link.span_context.trace_id().to_string(),
            span_id: link.span_context.span_id().to_string(),
        };
        Self {
            trace_id: span.span_context.trace_id().to_string(),
            span_id: span.span_context.span_id().to_string(),
            parent_span_id: parent(span).map(|id| id.to_string()),
            parent_is_remote: span.parent_span_is_remote,
            name: span.name.to_string(),
            service: service.to_owned(),
            kind: kind(&span.span_kind).to_owned(),
            start_unix_nanos: nanos(since_epoch(span.start_time)),
            duration_nanos: nanos(span.end_time.duration_since(span.start_time).unwrap_or_default()),
            status: status.to_owned(),
            status_message,
            attributes: attributes(&span.attributes),
            events: span.events.iter().map(EventRecord::new).collect(),
            links: span.links.iter().map(link).collect(),
        }
    }

    /// When it ended, in nanoseconds since 1970.
    pub fn end_unix_nanos(&self) -> u64 {
        self.start_unix_nanos.saturating_add(self.duration_nanos)
    }
}

impl EventRecord {
    fn new(event: &opentelemetry::trace::Event) -> Self {
        Self {
            name: event.name.to_string(),
            unix_nanos: nanos(since_epoch(event.timestamp)),
            attributes: attributes(&event.attributes),
        }
    }
}

impl TraceSummary {
    pub(crate) fn new<'a>(id: TraceId, spans: impl Iterator<Item = (&'a str, &'a SpanData)> + Clone) -> Option<Self> {
        let earliest = spans.clone().min_by_key(|(_, span)| span.start_time)?;
        let root = spans.clone().find(|(_, span)| parent(span).is_none() || span.parent_span_is_remote);
        let (service, named) = root.unwrap_or(earliest);
        let end = spans.clone().map(|(_, span)| span.end_time).max()?;
        Some(Self {
            trace_id: id.to_string(),
            name: named.name.to_string(),
            service: service.to_owned(),
            start_unix_nanos: nanos(since_epoch(earliest.1.start_time)),
            duration_nanos: nanos(end.duration_since(earliest.1.start_time).unwrap_or_default()),
            spans: spans.clone().count(),
            has_error: spans.into_iter().any(|(_, span)| matches!(span.status, Status::Error { .. })),
        })
    }
}

fn parent(span: &SpanData) -> Option<SpanId> {
    (span.parent_span_id != SpanId::INVALID).then_some(span.parent_span_id)
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, serde_json::Value> {
    list.iter().map(|kv| (kv.key.to_string(), json(&kv.value))).collect()
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        other => other.to_string().into(),
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
