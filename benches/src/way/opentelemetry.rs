//! OpenTelemetry's own API, as its documentation shows it.

use std::hint::black_box;
use std::time::Duration;

use opentelemetry::trace::{Span as _, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};

use super::Session;
use crate::work::{CHUNK, Work};

/// Where ended spans go: nowhere.
#[derive(Debug)]
struct Discard;

impl SpanProcessor for Discard {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

pub(super) fn tracer(kept: bool) -> SdkTracer {
    let sampler = if kept { Sampler::AlwaysOn } else { Sampler::AlwaysOff };
    SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(Discard).build().tracer("benches")
}

pub(super) struct Plain {
    tracer: SdkTracer,
    session: Context,
    session_id: StringValue,
}

impl Plain {
    pub(super) fn open(kept: bool) -> Self {
        let tracer = tracer(kept);
        let session = Context::new().with_span(tracer.start("realtime.session"));
        Self { tracer, session, session_id: StringValue::from(super::ours::START.session_id.to_owned()) }
    }
}

impl Session for Plain {
    #[inline(never)]
    fn chunks(&mut self, work: &Work, count: u64) {
        for _ in 0..count {
            let Self { tracer, session, session_id } = black_box(&mut *self);
            let mut span = tracer.start_with_context("realtime.process_audio_chunk", session);
            work.process();
            span.set_attributes([
                KeyValue::new("session.id", session_id.clone()),
                KeyValue::new("dalston.sampling.adjusted_count", 1.0),
                KeyValue::new("dalston.audio.seconds", CHUNK.audio.as_secs_f64()),
                KeyValue::new("dalston.audio.bytes", CHUNK.bytes as i64),
                KeyValue::new("dalston.lag.seconds", CHUNK.lag.as_secs_f64()),
            ]);
            span.end();
        }
    }
}
