//! One line, in either format.

use std::fmt::Write;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use serde_json::Value;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::fields::Fields;
use crate::component::{Component, ServiceNames};
use crate::options::LogFormat;

/// Names the format gives a meaning to; a field of an event cannot take their place.
const RESERVED: [&str; 4] = ["timestamp", "level", "service", "event"];

/// The parts of a line.
pub(super) struct LineWriter<'a> {
    timestamp: String,
    level: Level,
    service: &'a str,
    event: String,
    request_id: Option<Value>,
    /// Trace and span.
    ids: Option<(String, String)>,
    fields: Fields,
}

impl<'a> LineWriter<'a> {
    pub(super) fn new(metadata: &Metadata<'_>, names: &'a ServiceNames, with_ids: bool, mut fields: Fields) -> Self {
        let event = match fields.take("message") {
            Some(Value::String(message)) => message,
            Some(other) => other.to_string(),
            None => metadata.name().to_owned(),
        };
        let ids = if with_ids { current_ids() } else { None };
        if ids.is_some() {
            fields.take("trace_id");
            fields.take("span_id");
        }
        Self {
            timestamp: now(),
            level: *metadata.level(),
            service: names.of(Component::of_target(metadata.target())),
            event,
            request_id: fields.take("request_id"),
            ids,
            fields,
        }
    }

    pub(super) fn write(self, format: LogFormat) -> String {
        match format {
            LogFormat::Json => self.json(),
            LogFormat::Pretty { colour } => self.pretty(colour),
        }
    }

    fn json(self) -> String {
        let mut line = JsonLine::new();
        line.text("timestamp", &self.timestamp);
        line.text("level", self.level.as_str());
        line.text("service", self.service);
        line.text("event", &self.event);
        if let Some(request_id) = &self.request_id {
            line.value("request_id", request_id);
        }
        if let Some((trace_id, span_id)) = &self.ids {
            line.text("trace_id", trace_id);
            line.text("span_id", span_id);
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| !RESERVED.contains(name)) {
            line.value(name, value);
        }
        line.end()
    }

    fn pretty(self, colour: bool) -> String {
        let (dim, reset) = if colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        let tint = if colour { level_colour(self.level) } else { "" };
        let time = self.timestamp.get(11..23).unwrap_or(&self.timestamp);
        let mut line = format!("{dim}{time}{reset} {tint}{:>5}{reset} {dim}{}{reset} ", self.level, self.service);
        line.extend(self.event.chars().map(printable));
        let ids = self.ids.map(|(trace_id, _)| ("trace_id", Value::String(trace_id)));
        let extra = self.request_id.map(|id| ("request_id", id)).into_iter().chain(ids);
        let extra: Vec<_> = extra.collect();
        for (name, value) in self.fields.iter().chain(extra.iter().map(|(name, value)| (*name, value))) {
            let _ = write!(line, " {dim}{name}={reset}");
            match value {
                Value::String(text) => line.extend(text.chars().map(printable)),
                other => line.push_str(&other.to_string()),
            }
        }
        line.push('\n');
        line
    }
}

/// What a client sends must not move the cursor of whoever reads the log.
fn printable(character: char) -> char {
    if character.is_control() { '\u{fffd}' } else { character }
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[34m",
    }
}

fn now() -> String {
    let mut text = String::with_capacity(32);
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn current_ids() -> Option<(String, String)> {
    Context::map_current(|cx| {
        let span = cx.span();
        let ids = span.span_context();
        ids.is_valid().then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

/// An object written member by member: `serde_json`'s map would sort or allocate for each.
struct JsonLine(String);

impl JsonLine {
    fn new() -> Self {
        Self(String::with_capacity(256))
    }

    fn text(&mut self, name: &str, text: &str) {
        self.value(name, &Value::from(text));
    }

    fn value(&mut self, name: &str, value: &Value) {
        let separator = if self.0.is_empty() { '{' } else { ',' };
        let name = Value::from(name);
        let _ = write!(self.0, "{separator}{name}:{value}");
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push_str("}\n");
        self.0
    }
}
