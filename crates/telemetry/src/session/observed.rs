//! What the worker tells of a session: numbers and words of the program, never what was said.

use std::time::Duration;

use crate::outcome::SessionOutcome;

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
