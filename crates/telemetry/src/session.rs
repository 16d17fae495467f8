//! The trace of one live session, made for the audio path.
//!
//! A session is traced as a whole or not at all. Not at all is an empty `Option`: one predictable branch per call, no
//! allocation, no clock. When it is traced, each operation is counted, then a coin is tossed **before** anything is made
//! ([`crate::sampling`]); only a kept operation becomes a span, after the fact, from the two instants of its [`Lap`].
//!
//! Nothing can attach to the session by mistake: no method hands out the session span as a parent, and the context that
//! [`SessionTrace::around`] sets lends its ids to log lines but takes no children ([`crate::bridge`]). So a chunk that
//! is not kept has no subtree either.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, Key as OtelKey, KeyValue, Value};
use opentelemetry_sdk::trace::Span as SdkSpan;
use rand::rngs::SmallRng;

use crate::bridge::TakesNoChildren;
use crate::label::{AttrValue, Label};
use crate::names::{self, Key, key};
use crate::outcome::SessionOutcome;
use crate::sampling::{self, Coin, Keep, Tally};
use crate::span::InSpan;
use crate::tracers::SharedPipeline;
use crate::{Component, TraceContext, Tracers};

/// What is known of a session when it begins.
#[derive(Clone, Debug)]
pub struct SessionStart<'a> {
    /// `ses_…`
    pub session_id: &'a str,
    /// `req_…`
    pub request_id: &'a str,
    /// Worker that serves it.
    pub worker_id: &'a str,
    /// Engine that recognises.
    pub engine_id: &'a str,
    /// Model it has loaded.
    pub model: &'a str,
    /// Language code.
    pub language: &'a str,
    /// Wire encoding.
    pub encoding: &'a str,
    /// Samples per second on the wire.
    pub sample_rate: u32,
    /// Interleaved channels.
    pub channels: u8,
}

/// A chunk of audio that was processed.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// How much audio it carried. One that took longer to process is slow, and kept.
    pub audio: Duration,
    /// Its size on the wire.
    pub bytes: usize,
    /// Lag after it.
    pub lag: Duration,
    /// Whether processing failed; then it is kept.
    pub failed: bool,
}

/// A decision of the endpointer.
#[derive(Clone, Copy, Debug)]
pub struct VadEndpoint {
    /// Why the utterance ended: `silence`, `max_utterance`, `flush`, `end`, …
    pub reason: &'static str,
    /// Ordinal of the utterance.
    pub utterance: u64,
    /// Speech in it.
    pub speech: Duration,
    /// Silence that ended it.
    pub silence: Duration,
}

/// Whether a transcript may still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranscriptKind {
    /// It may; sampled.
    Partial,
    /// It may not; always kept.
    Final,
}

/// A transcript that was made. Of its text only the number of words is told.
#[derive(Clone, Copy, Debug)]
pub struct Transcript {
    /// Partial or final.
    pub kind: TranscriptKind,
    /// Ordinal of the utterance.
    pub utterance: u64,
    /// Audio it covers.
    pub audio: Duration,
    /// Number of words.
    pub words: usize,
    /// Whether the recogniser failed; then it is kept.
    pub failed: bool,
}

/// Exact totals, set once when the session ends. What the trace counts itself is not repeated here.
#[derive(Clone, Copy, Debug)]
pub struct SessionTotals {
    /// How it ended.
    pub outcome: SessionOutcome,
    /// Close code the client got.
    pub close_code: u16,
    /// Audio received.
    pub audio: Duration,
    /// Speech in it.
    pub speech: Duration,
    /// Utterances that began.
    pub utterances: u64,
    /// Greatest lag.
    pub lag_max: Duration,
    /// Events that were dropped for a slow reader.
    pub dropped_events: u64,
}

/// A clock that runs only if somebody will look.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Option<Instant>);

impl Stopwatch {
    /// The lap from its start until now. It may be called on another thread.
    #[inline]
    pub fn stop(self) -> Lap {
        Lap(self.0.map(|start| (start, Instant::now())))
    }
}

/// From when to when an operation ran; empty when nobody looked at the clock.
#[derive(Clone, Copy, Debug)]
pub struct Lap(Option<(Instant, Instant)>);

impl Lap {
    /// For callers that read the clock for another reason already, such as a histogram.
    #[inline]
    pub const fn between(start: Instant, end: Instant) -> Self {
        Self(Some((start, end)))
    }
}

/// The trace of one session: `Send`, a pointer when off.
#[derive(Debug, Default)]
pub struct SessionTrace(Option<Box<Traced>>);

impl SessionTrace {
    /// A session without a trace.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Opens `realtime.session` under `parent` and exports `realtime.session_start` at once. If the parent's trace is not
    /// kept, or tracing is off, nothing is opened.
    pub fn begin(tracers: &Tracers, parent: &TraceContext, start: &SessionStart<'_>) -> Self {
        Self::begin_seeded(tracers, parent, start, None)
    }

    /// As [`SessionTrace::begin`], with coins that fall the same way in every run.
    pub fn begin_seeded(tracers: &Tracers, parent: &TraceContext, start: &SessionStart<'_>, seed: Option<u64>) -> Self {
        let Some(pipeline) = tracers.pipeline() else { return Self::none() };
        Self(Traced::begin(pipeline.clone(), parent, start, seed).map(Box::new))
    }

    /// Whether anything is recorded.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// The session's trace, for `session.begin` and log lines.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|traced| traced.span.span_context().trace_id().to_string())
    }

    /// Starts a clock, if the session is traced.
    #[inline]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch(self.0.as_ref().map(|_| Instant::now()))
    }

    /// A chunk was processed.
    #[inline]
    pub fn chunk(&mut self, lap: Lap, chunk: Chunk) {
        if let Some(traced) = &mut self.0 {
            traced.chunk(lap, chunk);
        }
    }

    /// The endpointer decided.
    #[inline]
    pub fn vad_endpoint(&mut self, lap: Lap, endpoint: VadEndpoint) {
        if let Some(traced) = &mut self.0 {
            traced.vad_endpoint(lap, endpoint);
        }
    }

    /// The recogniser spoke.
    #[inline]
    pub fn transcript(&mut self, lap: Lap, transcript: Transcript) {
        if let Some(traced) = &mut self.0 {
            traced.transcript(lap, transcript);
        }
    }

    /// The session was drained and closed.
    pub fn close(&mut self, lap: Lap, outcome: SessionOutcome, close_code: u16) {
        if let Some(traced) = &mut self.0 {
            let attributes = [attribute(key::OUTCOME, outcome.as_str()), attribute(key::CLOSE_CODE, close_code)];
            traced.export(names::span::SESSION_CLOSE, lap, Keep::Always, false, attributes);
        }
    }

    /// Sets the exact totals and ends the session span.
    pub fn end(mut self, totals: &SessionTotals) {
        if let Some(traced) = &mut self.0 {
            traced.end(totals);
        }
    }

    /// Makes the session's ids those of every log line `future` writes. `tracing` spans below it stay out of the trace.
    pub fn around<F>(&self, future: F) -> InSpan<F> {
        InSpan::new(future, self.0.as_ref().map(|traced| traced.parent.with_value(TakesNoChildren)))
    }
}

/// State of a session that is traced. Boxed, so that one that is not costs a pointer.
#[derive(Debug)]
struct Traced {
    pipeline: SharedPipeline,
    span: SdkSpan,
    /// The session span as the parent of what [`Traced::export`] makes; made once, so that a child costs no allocation for it.
    parent: Context,
    session_id: Value,
    /// Both at the same moment: children are placed by their offset from it, so a clock that jumps cannot bend them.
    began: (SystemTime, Instant),
    rng: SmallRng,
    chunks: Tally,
    vad_endpoints: Tally,
    partials: Tally,
    finals: Tally,
}

impl Traced {
    fn begin(
        pipeline: SharedPipeline,
        parent: &TraceContext,
        start: &SessionStart<'_>,
        seed: Option<u64>,
    ) -> Option<Self> {
        let began = (SystemTime::now(), Instant::now());
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
        let tracer = pipeline.tracer(Component::Realtime);
        let builder = tracer
            .span_builder(names::span::SESSION)
            .with_kind(SpanKind::Internal)
            .with_start_time(began.0)
            .with_attributes(attributes.iter().cloned());
        let span = tracer.build_with_context(builder, &parent.as_parent());
        if !span.is_recording() {
            return None;
        }
        let parent = Context::new().with_remote_span_context(SpanContext::clone(span.span_context()));
        let session_id = AttrValue::from(session_id).0;
        let rng = sampling::generator(seed);
        let tally = Tally::default();
        let (chunks, vad_endpoints, partials, finals) = (tally, tally, tally, tally);
        let traced = Self { pipeline, span, parent, session_id, began, rng, chunks, vad_endpoints, partials, finals };
        traced.export_start(attributes);
        Some(traced)
    }

    fn export_start(&self, attributes: Vec<KeyValue>) {
        let tracer = self.pipeline.tracer(Component::Realtime);
        let builder = tracer
            .span_builder(names::span::SESSION_START)
            .with_kind(SpanKind::Internal)
            .with_start_time(self.began.0)
            .with_attributes(attributes);
        let mut span = tracer.build_with_context(builder, &self.parent);
        span.end_with_timestamp(self.at(Instant::now()));
    }

    #[inline]
    fn chunk(&mut self, lap: Lap, chunk: Chunk) {
        self.chunks.total += 1;
        let is_slow = lap.0.is_some_and(|(start, end)| end.saturating_duration_since(start) > chunk.audio);
        let keep = if chunk.failed {
            Keep::Because("error")
        } else if is_slow {
            Keep::Because("slow")
        } else {
            let coin = self.pipeline.coins().chunk;
            if !coin.toss(&mut self.rng) {
                return;
            }
            Keep::Sampled(coin.weight())
        };
        self.chunks.sampled += 1;
        let attributes = [
            attribute(key::AUDIO_SECONDS, chunk.audio),
            attribute(key::AUDIO_BYTES, chunk.bytes),
            attribute(key::LAG_SECONDS, chunk.lag),
        ];
        self.export(names::span::CHUNK, lap, keep, chunk.failed, attributes);
    }

    fn vad_endpoint(&mut self, lap: Lap, endpoint: VadEndpoint) {
        let Some(keep) = self.toss(|traced| &mut traced.vad_endpoints, self.pipeline.coins().vad) else { return };
        let attributes = [
            attribute(key::ENDPOINT_REASON, endpoint.reason),
            attribute(key::UTTERANCE, endpoint.utterance),
            attribute(key::SPEECH_SECONDS, endpoint.speech),
            attribute(key::SILENCE_SECONDS, endpoint.silence),
        ];
        self.export(names::span::VAD_ENDPOINT, lap, keep, false, attributes);
    }

    fn transcript(&mut self, lap: Lap, transcript: Transcript) {
        let (tally, kind) = match transcript.kind {
            TranscriptKind::Partial => (&mut self.partials, "partial"),
            TranscriptKind::Final => (&mut self.finals, "final"),
        };
        tally.total += 1;
        let keep = if transcript.failed {
            Keep::Because("error")
        } else if transcript.kind == TranscriptKind::Final {
            Keep::Always
        } else {
            let coin = self.pipeline.coins().partial;
            if !coin.toss(&mut self.rng) {
                return;
            }
            Keep::Sampled(coin.weight())
        };
        tally.sampled += 1;
        let attributes = [
            attribute(key::TRANSCRIPT_KIND, kind),
            attribute(key::UTTERANCE, transcript.utterance),
            attribute(key::AUDIO_SECONDS, transcript.audio),
            attribute(key::TRANSCRIPT_WORDS, transcript.words),
        ];
        self.export(names::span::TRANSCRIPT, lap, keep, transcript.failed, attributes);
    }

    fn toss(&mut self, tally: impl Fn(&mut Self) -> &mut Tally, coin: Coin) -> Option<Keep> {
        let keep = coin.toss(&mut self.rng).then(|| Keep::Sampled(coin.weight()));
        let tally = tally(self);
        tally.total += 1;
        tally.sampled += u64::from(keep.is_some());
        keep
    }

    /// Makes a child span of the session after the fact. Off the straight path: most calls do not come here.
    #[inline(never)]
    fn export<const N: usize>(&self, name: &'static str, lap: Lap, keep: Keep, failed: bool, own: [KeyValue; N]) {
        let (start, end) = lap.0.unwrap_or_else(|| {
            let now = Instant::now();
            (now, now)
        });
        let mut attributes = Vec::with_capacity(N + 4);
        attributes.push(KeyValue::new(key::SESSION_ID.as_str(), self.session_id.clone()));
        attributes.push(attribute(key::ADJUSTED_COUNT, keep.adjusted_count()));
        attributes.extend(own);
        attributes.extend(keep.reason().map(|reason| attribute(key::SAMPLING_REASON, reason)));
        let tracer = self.pipeline.tracer(Component::Realtime);
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Internal)
            .with_start_time(self.at(start))
            .with_attributes(attributes);
        let mut span = tracer.build_with_context(builder, &self.parent);
        if failed {
            span.set_status(Status::error("failed"));
        }
        span.end_with_timestamp(self.at(end));
    }

    fn at(&self, instant: Instant) -> SystemTime {
        let (wall, monotonic) = self.began;
        match instant.checked_duration_since(monotonic) {
            Some(after) => wall + after,
            None => wall - monotonic.saturating_duration_since(instant),
        }
    }

    fn end(&mut self, totals: &SessionTotals) {
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
