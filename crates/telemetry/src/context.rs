//! Where a span stands in its trace, carried between tasks, threads and processes.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

/// A place in a trace: whose child the next span is. Cheap to clone, and empty when tracing is off.
///
/// Holding one keeps no span open.
#[derive(Clone, Debug, Default)]
pub struct TraceContext(Option<Context>);

impl TraceContext {
    /// No trace.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Of the span that is current: see [`Span::around`](crate::Span::around). None is when tracing is off.
    pub fn current() -> Self {
        Context::map_current(|cx| match cx.has_active_span() {
            true => Self::from_span_context(cx.span().span_context().clone()),
            false => Self(None),
        })
    }

    /// Reads a W3C `traceparent` header (<https://www.w3.org/TR/trace-context/#traceparent-header>). Anything that is not
    /// one gives [`TraceContext::none`]: a bad header must not cost a caller its request.
    pub fn from_traceparent(header: &str) -> Self {
        parse_traceparent(header).map_or_else(Self::none, Self::from_span_context)
    }

    /// The header to send along, if there is a trace.
    pub fn to_traceparent(&self) -> Option<String> {
        let span = self.span_context()?;
        Some(format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags() & TraceFlags::SAMPLED))
    }

    /// 32 hex digits, if there is a trace.
    pub fn trace_id(&self) -> Option<String> {
        Some(self.span_context()?.trace_id().to_string())
    }

    /// Whether the spans of this trace are kept.
    pub fn is_sampled(&self) -> bool {
        self.span_context().is_some_and(|span| span.is_sampled())
    }

    pub(crate) fn from_span_context(span: SpanContext) -> Self {
        if span.is_valid() { Self(Some(Context::new().with_remote_span_context(span))) } else { Self(None) }
    }

    pub(crate) fn span_context(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|cx| cx.span().span_context().clone())
    }

    /// As the parent of a new span; an empty context makes it a root.
    pub(crate) fn as_parent(&self) -> Context {
        self.0.clone().unwrap_or_default()
    }
}

/// `version-trace_id-parent_id-flags`, lower-case hex. A version above 00 may have more fields, which are ignored.
fn parse_traceparent(header: &str) -> Option<SpanContext> {
    let mut fields = header.trim().split('-');
    let version = hex_field(fields.next()?, 2)?;
    let trace_id = TraceId::from_hex(hex_field(fields.next()?, 32)?).ok()?;
    let span_id = SpanId::from_hex(hex_field(fields.next()?, 16)?).ok()?;
    let flags = u8::from_str_radix(hex_field(fields.next()?, 2)?, 16).ok()?;
    let is_known = match version {
        "ff" => false,
        "00" => fields.next().is_none(),
        _ => true,
    };
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let span = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    (is_known && span.is_valid()).then_some(span)
}

fn hex_field(field: &str, length: usize) -> Option<&str> {
    let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (field.len() == length && field.bytes().all(is_lower_hex)).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_the_round_trip() {
        let context = TraceContext::from_traceparent(VALID);
        assert_eq!(context.to_traceparent().as_deref(), Some(VALID));
        assert_eq!(context.trace_id().as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(context.is_sampled());
    }

    #[test]
    fn what_is_not_a_traceparent_is_no_trace() {
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert!(TraceContext::from_traceparent(bad).to_traceparent().is_none(), "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_by_its_first_four_fields() {
        let later = format!("cc-{}-more", &VALID[3..]);
        assert_eq!(TraceContext::from_traceparent(&later).to_traceparent().as_deref(), Some(VALID));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "\\PC{0,80}") {
            let _ = TraceContext::from_traceparent(&header);
        }
    }
}
