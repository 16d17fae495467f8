//! A session that is traced: counting, tossing coins, and making spans after the fact.

use std::borrow::Cow;
use std::time::{Instant, SystemTime};

use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, Key as OtelKey, KeyValue, Value};
use opentelemetry_sdk::trace::{Span as SdkSpan, SpanData, SpanEvents, SpanLinks};
use rand::rngs::SmallRng;

use super::Lap;
use super::observed::{Chunk, SessionStart, SessionTotals, Transcript, TranscriptKind, VadEndpoint};
use crate::bridge::TakesNoChildren;
use crate::label::{AttrValue, Label};
use crate::names::{self, Key, key};
use crate::outcome::SessionOutcome;
use crate::sampling::{self, Keep, Tally};
use crate::tracers::{Coins, SharedPipeline};
use crate::{Component, TraceContext};

/// State of a session that is traced. Boxed, so that one that is not costs a pointer.
#[derive(Debug)]
pub(super) struct Traced {
    pipeline: SharedPipeline,
    span: SdkSpan,
    /// The session span's place, for log lines.
    parent: Context,
    session_id: Value,
    /// Both at the same moment: children are placed by their offset from it, so a clock that jumps cannot bend them.
    began: (SystemTime, Instant),
    rng: SmallRng,
    /// The pipeline's, copied to where the chunk's tally is: another place in memory would be a cache miss each 20 ms.
    coins: Coins,
    chunks: Tally,
    vad_endpoints: Tally,
    partials: Tally,
    finals: Tally,
}

impl Traced {
    pub(super) fn begin(
        pipeline: SharedPipeline,
        parent: &TraceContext,
        start: &SessionStart<'_>,
        seed: Option<u64>,
    ) -> Option<Self> {
        let began = (SystemTime::now(), Instant::now());
        let tracer = pipeline.tracer(Component::Realtime);
        let builder = tracer.span_builder(names::span::SESSION).with_kind(SpanKind::Internal).with_start_time(began.0);
        let mut span = tracer.build_with_context(builder, &parent.as_parent());
        if !span.is_recording() {
            return None;
        }
        let session_id = Label::new(start.session_id);
        let attributes = vec![
            attribute(key::SESSION_ID, &session_id),
            attribute(key::REQUEST_ID, Label::new(start.request_id)),
            attribute(key::WORKER_ID, Label::new(start.worker_id)),
            attribute(key::ENGINE_ID, Label::new(start.engine_id)),
            attribute(key::MODEL, Label::new(start.model)),
            attribute(key::LANGUAGE, Label::new(start.language)),
            attribute(key::AUDIO_ENCODING, Label::new(start.encoding)),
            attribute(key::AUDIO_SAMPLE_RATE, start.sample_rate),
            attribute(key::AUDIO_CHANNELS, start.channels),
        ];
        span.set_attributes(attributes.iter().cloned());
        let parent = Context::new().with_remote_span_context(SpanContext::clone(span.span_context()));
        let session_id = AttrValue::from(session_id).0;
        let rng = sampling::generator(seed);
        let tally = Tally::default();
        let (chunks, vad_endpoints, partials, finals) = (tally, tally, tally, tally);
        let coins = *pipeline.coins();
        let mut traced =
            Self { pipeline, span, parent, session_id, began, rng, coins, chunks, vad_endpoints, partials, finals };
        let opened = Lap::between(began.1, Instant::now());
        traced.export_child(names::span::SESSION_START, opened, attributes, Status::Unset);
        Some(traced)
    }

    /// Runs for every chunk of every traced session: to count, to look for a fault and to toss the coin is all it does.
    ///
    /// Inlined, its arguments stay in registers. As a call it would take them by reference, so that they would be written
    /// to memory before it is known whether there is a trace at all.
    #[inline(always)]
    pub(super) fn chunk(&mut self, lap: Lap, chunk: Chunk) {
        let forced = match (chunk.failed, lap.exceeds(chunk.audio)) {
            (true, _) => Some(Keep::Because("error")),
            (false, true) => Some(Keep::Because("slow")),
            (false, false) => None,
        };
        if let Some(keep) = self.chunks.decide(forced, self.coins.chunk, &mut self.rng) {
            let (start, end) = lap.or_now();
            self.export_chunk(start, end, chunk, keep);
        }
    }

    /// Takes the lap apart for the same reason.
    #[cold]
    #[inline(never)]
    fn export_chunk(&mut self, start: Instant, end: Instant, chunk: Chunk, keep: Keep) {
        let lap = Lap::between(start, end);
        let attributes = [
            attribute(key::AUDIO_SECONDS, chunk.audio),
            attribute(key::AUDIO_BYTES, chunk.bytes),
            attribute(key::LAG_SECONDS, chunk.lag),
        ];
        self.export(names::span::CHUNK, lap, keep, chunk.failed, attributes);
    }

    pub(super) fn vad_endpoint(&mut self, lap: Lap, endpoint: VadEndpoint) {
        let Some(keep) = self.vad_endpoints.decide(None, self.coins.vad, &mut self.rng) else { return };
        let attributes = [
            attribute(key::ENDPOINT_REASON, endpoint.reason),
            attribute(key::UTTERANCE, endpoint.utterance),
            attribute(key::SPEECH_SECONDS, endpoint.speech),
            attribute(key::SILENCE_SECONDS, endpoint.silence),
        ];
        self.export(names::span::VAD_ENDPOINT, lap, keep, false, attributes);
    }

    pub(super) fn transcript(&mut self, lap: Lap, transcript: Transcript) {
        let (tally, kind) = match transcript.kind {
            TranscriptKind::Partial => (&mut self.partials, "partial"),
            TranscriptKind::Final => (&mut self.finals, "final"),
        };
        let forced = match (transcript.failed, transcript.kind) {
            (true, _) => Some(Keep::Because("error")),
            (false, TranscriptKind::Final) => Some(Keep::Always),
            (false, TranscriptKind::Partial) => None,
        };
        let Some(keep) = tally.decide(forced, self.coins.partial, &mut self.rng) else { return };
        let attributes = [
            attribute(key::TRANSCRIPT_KIND, kind),
            attribute(key::UTTERANCE, transcript.utterance),
            attribute(key::AUDIO_SECONDS, transcript.audio),
            attribute(key::TRANSCRIPT_WORDS, transcript.words),
        ];
        self.export(names::span::TRANSCRIPT, lap, keep, transcript.failed, attributes);
    }

    pub(super) fn close(&mut self, lap: Lap, outcome: SessionOutcome, close_code: u16) {
        let attributes = [attribute(key::OUTCOME, outcome.as_str()), attribute(key::CLOSE_CODE, close_code)];
        self.export(names::span::SESSION_CLOSE, lap, Keep::Always, false, attributes);
    }

    pub(super) fn trace_id(&self) -> String {
        self.span.span_context().trace_id().to_string()
    }

    pub(super) fn context(&self) -> TraceContext {
        TraceContext::from_span_context(self.span.span_context().clone())
    }

    /// For log lines; see [`TakesNoChildren`].
    pub(super) fn for_logs(&self) -> Context {
        self.parent.with_value(TakesNoChildren)
    }

    /// Makes a child span of the session after the fact, without the SDK: its sampler, its checks and its span in progress have
    /// nothing to add, and are half of what a span costs.
    fn export<const N: usize>(&mut self, name: &'static str, lap: Lap, keep: Keep, failed: bool, own: [KeyValue; N]) {
        let mut attributes = Vec::with_capacity(N + 3);
        attributes.push(KeyValue::new(key::SESSION_ID.as_str(), self.session_id.clone()));
        attributes.push(attribute(key::ADJUSTED_COUNT, keep.adjusted_count()));
        attributes.extend(own);
        attributes.extend(keep.reason().map(|reason| attribute(key::SAMPLING_REASON, reason)));
        let status = if failed { Status::error("failed") } else { Status::Unset };
        self.export_child(name, lap, attributes, status);
    }

    fn export_child(&mut self, name: &'static str, lap: Lap, attributes: Vec<KeyValue>, status: Status) {
        let (start, end) = lap.or_now();
        let start_time = self.at(start);
        let session = self.span.span_context();
        let span_context = SpanContext::new(
            session.trace_id(),
            sampling::span_id(&mut self.rng),
            session.trace_flags(),
            false,
            session.trace_state().clone(),
        );
        let span = SpanData {
            span_context,
            parent_span_id: session.span_id(),
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            start_time,
            end_time: start_time + end.saturating_duration_since(start),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.pipeline.scope(),
        };
        self.pipeline.take(Component::Realtime, span);
    }

    fn at(&self, instant: Instant) -> SystemTime {
        let (wall, monotonic) = self.began;
        match instant.checked_duration_since(monotonic) {
            Some(after) => wall + after,
            None => wall - monotonic.saturating_duration_since(instant),
        }
    }

    pub(super) fn end(&mut self, totals: &SessionTotals) {
        self.span.set_attributes([
            attribute(key::OUTCOME, totals.outcome.as_str()),
            attribute(key::CLOSE_CODE, totals.close_code),
            attribute(key::SESSION_AUDIO_SECONDS, totals.audio),
            attribute(key::SESSION_SPEECH_SECONDS, totals.speech),
            attribute(key::UTTERANCES_TOTAL, totals.utterances),
            attribute(key::LAG_MAX_SECONDS, totals.lag_max),
            attribute(key::DROPPED_EVENTS, totals.dropped_events),
            attribute(key::CHUNKS_TOTAL, self.chunks.total),
            attribute(key::CHUNKS_SAMPLED, self.chunks.sampled),
            attribute(key::VAD_TOTAL, self.vad_endpoints.total),
            attribute(key::VAD_SAMPLED, self.vad_endpoints.sampled),
            attribute(key::PARTIALS_TOTAL, self.partials.total),
            attribute(key::PARTIALS_SAMPLED, self.partials.sampled),
            attribute(key::FINALS_TOTAL, self.finals.total),
            attribute(key::FINALS_SAMPLED, self.finals.sampled),
        ]);
        if totals.outcome.is_server_fault() {
            self.span.set_attribute(attribute(key::ERROR_TYPE, totals.outcome.as_str()));
            self.span.set_status(Status::error("the session did not end well"));
        }
        self.span.end_with_timestamp(self.at(Instant::now()));
    }
}

impl Drop for Traced {
    /// A session that is dropped without its totals was lost in a panic or a cancelled task, and says so.
    fn drop(&mut self) {
        if self.span.is_recording() {
            self.span.set_status(Status::error("the session was dropped before its end"));
            self.span.end_with_timestamp(self.at(Instant::now()));
        }
    }
}

fn attribute(key: Key, value: impl Into<AttrValue>) -> KeyValue {
    KeyValue::new(OtelKey::from_static_str(key.as_str()), value.into().0)
}
