//! Log lines: one JSON object each, or one line of text for people.
//!
//! ```json
//! {"timestamp":"…Z","level":"INFO","service":"dalston-gateway","event":"session opened","request_id":"req_…","trace_id":"…","span_id":"…","session_id":"ses_…"}
//! ```
//!
//! `request_id`, `trace_id` and `span_id` are absent when there is none, never empty. The ids are those of the current
//! OpenTelemetry context, so they are right whether the span was made by the catalogue or by `tracing`. Fields of enclosing
//! `tracing` spans come first, outermost first; those of the event last. Of two with one name the inner wins.

mod fields;
mod line;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::component::ServiceNames;
use crate::options::{LogFormat, Options};
use fields::Fields;
use line::LineWriter;

/// A span that lends `request_id` (and `session_id`) to every log line below it, at any `LOG_LEVEL`, and is no part of any trace.
///
/// ```
/// use tracing::Instrument;
/// # async fn serve() {}
/// let session = dalston_telemetry::scope("req_1", Some("ses_1"));
/// let task = serve().instrument(session);
/// # drop(task);
/// ```
pub fn scope(request_id: &str, session_id: Option<&str>) -> tracing::Span {
    tracing::error_span!(target: crate::names::SCOPE_TARGET, "scope", request_id, session_id)
}

/// Writes events as lines.
#[derive(Debug)]
pub(crate) struct LogLines<W> {
    format: LogFormat,
    names: ServiceNames,
    /// Whether tracing is on: only then do lines have trace ids.
    with_ids: bool,
    write: W,
}

impl<W: Fn(&[u8]) + 'static> LogLines<W> {
    pub(crate) fn new(options: &Options, with_ids: bool, write: W) -> Self {
        let names = ServiceNames::new(options.service, options.service_name.as_deref());
        Self { format: options.log_format, names, with_ids, write }
    }
}

impl<S, W> Layer<S> for LogLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Fn(&[u8]) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.extend(of_span);
            }
        }
        event.record(&mut fields);
        let line = LineWriter::new(event.metadata(), &self.names, self.with_ids, fields).write(self.format);
        (self.write)(line.as_bytes());
    }
}
