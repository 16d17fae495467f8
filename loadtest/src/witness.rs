//! Hears one session and holds it to the protocol: pure, with the time of each event given.

use std::collections::VecDeque;

use dalston_protocol::{
    SessionId,
    realtime::{FinalCause, ServerMessage, SessionEnd, TranscriptFinal},
};
use tokio::time::Instant;

use crate::{fault::Fault, latency::Moment, schedule::Pace, tally::Tally};

/// One final, as far as two sessions with the same audio must agree on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The words.
    pub text: String,
    /// Seconds since the first sample.
    pub start: f64,
    /// Seconds since the first sample.
    pub end: f64,
}

/// What is known of a session beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// When its audio is due.
    pub pace: Pace,
    /// Silence that ends an utterance, seconds.
    pub endpointing: f64,
    /// Audio that it sends, seconds.
    pub audio: f64,
    /// The finals it must have, where they are known.
    pub finals: Option<&'a [Said]>,
    /// Whether its own finals are wanted afterwards. Else they are only checked, and take no memory.
    pub keep: bool,
}

/// Ends of speech that may wait for their finals; beyond it the oldest is forgotten, and its final not timed.
const MOST_SPEECH_ENDS: usize = 64;

/// Follows one session.
#[derive(Debug)]
pub struct Witness<'a> {
    tally: &'a Tally,
    expected: Expectation<'a>,
    number: usize,
    session: Option<SessionId>,
    /// Audio time of the speech that has no partial yet.
    awaits_partial: Option<f64>,
    /// Ends of speech whose finals are still to come. An utterance without words has no final and leaves one behind, which the
    /// next final takes away.
    speech_ends: VecDeque<f64>,
    finals: usize,
    last_end: f64,
    last_utterance: Option<String>,
    said: Vec<Said>,
    /// Hash of all texts so far, parted by spaces.
    transcript: Fnv,
    ended: bool,
}

impl<'a> Witness<'a> {
    /// Of session `number`, which has not begun.
    pub fn new(tally: &'a Tally, number: usize, expected: Expectation<'a>) -> Self {
        Self {
            tally,
            expected,
            number,
            session: None,
            awaits_partial: None,
            speech_ends: VecDeque::new(),
            finals: 0,
            last_end: 0.0,
            last_utterance: None,
            said: Vec::new(),
            transcript: Fnv::default(),
            ended: false,
        }
    }

    /// Whether the session has begun.
    pub fn has_begun(&self) -> bool {
        self.session.is_some()
    }

    /// Whether `session.end` came.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Its finals, when they were to be kept.
    pub fn into_said(self) -> Vec<Said> {
        self.said
    }

    /// Hears an event that came `now`.
    pub fn hear(&mut self, message: &ServerMessage, now: Instant) {
        if self.ended {
            self.fault(Fault::Message, || "a message came after session.end".into());
        }
        let is_first = !self.has_begun();
        match message {
            ServerMessage::SessionBegin { session_id, config, .. } if is_first => {
                self.session = Some(session_id.clone());
                self.tally.recognised_by(&config.model);
            }
            ServerMessage::Warning { code, message, lag_seconds, .. } => {
                lag_seconds.inspect(|lag| self.tally.lagged(*lag));
                self.fault(Fault::Warning, || format!("{code}: {message}"));
            }
            ServerMessage::Error { code, message, .. } => {
                self.fault(if is_first { Fault::Opening } else { Fault::Error }, || {
                    format!("{}: {message}", code.as_str())
                });
            }
            _ if is_first => self.fault(Fault::Message, || "an event came before session.begin".into()),
            ServerMessage::SessionBegin { .. } => self.fault(Fault::Message, || "session.begin came twice".into()),
            ServerMessage::SpeechStart { timestamp, .. } => self.awaits_partial = Some(*timestamp),
            ServerMessage::SpeechEnd { timestamp, .. } => {
                self.speech_ends.push_back(*timestamp);
                if self.speech_ends.len() > MOST_SPEECH_ENDS {
                    self.speech_ends.pop_front();
                }
            }
            ServerMessage::Partial { utterance_id, end, .. } => self.partial(utterance_id, *end, now),
            ServerMessage::Final(heard) => self.heard_final(heard, now),
            ServerMessage::Flushed { .. } => self.fault(Fault::Message, || "flushed came, and nobody flushed".into()),
            ServerMessage::AudioAck { .. } => {
                self.fault(Fault::Message, || "audio.ack came, and nobody asked for it".into());
            }
            ServerMessage::SessionEnd(end) => self.end(end, now),
        }
    }

    /// The socket was closed.
    pub fn closed(&self, code: u16, reason: &str) {
        if !self.has_begun() {
            self.fault(Fault::Opening, || format!("closed with {code} before session.begin: {reason}"));
        } else if code != 1000 {
            self.fault(Fault::Ending, || format!("closed with {code}: {reason}"));
        } else if !self.ended {
            self.fault(Fault::Ending, || "closed with 1000 and without session.end".into());
        }
    }

    /// Counts a fault of this session.
    pub fn fault(&self, fault: Fault, what: impl FnOnce() -> String) {
        self.tally.fault(fault, || match &self.session {
            Some(id) => format!("session {} ({id}): {}", self.number, what()),
            None => format!("session {}: {}", self.number, what()),
        });
    }

    fn partial(&mut self, utterance: &str, end: f64, now: Instant) {
        self.tally.partials.inc();
        if self.last_utterance.as_deref() == Some(utterance) {
            self.fault(Fault::Order, || format!("a partial of {utterance} came after its final"));
        }
        let pace = self.expected.pace;
        if let Some(start) = self.awaits_partial.take() {
            self.tally.since(Moment::FirstPartial, pace.due_of(start), now);
        }
        self.tally.since(Moment::Caption, pace.due_of(end), now);
    }

    fn heard_final(&mut self, heard: &TranscriptFinal, now: Instant) {
        let TranscriptFinal { utterance_id, text, start, end, cause, .. } = heard;
        self.tally.finals.inc();
        self.tally.words.add(text.split_whitespace().count() as u64);
        if self.last_utterance.as_ref() == Some(utterance_id) {
            self.fault(Fault::Order, || format!("{utterance_id} has two finals"));
        }
        if *start < self.last_end || end < start {
            let last = self.last_end;
            self.fault(Fault::Order, || {
                format!("{utterance_id} is from {start} s to {end} s, after one until {last} s")
            });
        }
        self.last_end = *end;
        self.last_utterance = Some(utterance_id.clone());

        let mut speech_end = None;
        while let Some(at) = self.speech_ends.pop_front_if(|at| *at <= *end + 0.001) {
            speech_end = Some(at);
        }
        if let Some(at) = speech_end.filter(|_| *cause == FinalCause::Endpoint) {
            let pace = self.expected.pace;
            self.tally.since(Moment::Final, pace.due_of(at), now);
            self.tally.since(Moment::BeyondEndpointing, pace.due_of(at + self.expected.endpointing), now);
        }

        let said = Said { text: text.clone(), start: *start, end: *end };
        self.compare(&said);
        if self.finals > 0 {
            self.transcript.hear(b" ");
        }
        self.transcript.hear(text.as_bytes());
        self.finals += 1;
        if self.expected.keep {
            self.said.push(said);
        }
    }

    fn compare(&self, said: &Said) {
        let Some(expected) = self.expected.finals else { return };
        let n = self.finals;
        match expected.get(n) {
            Some(same) if same == said => {}
            Some(other) => self.fault(Fault::Words, || format!("final {n} is {said:?} and should be {other:?}")),
            None => self.fault(Fault::Words, || format!("final {n}, {said:?}, should not be there")),
        }
    }

    fn end(&mut self, end: &SessionEnd, now: Instant) {
        self.ended = true;
        let Expectation { pace, audio, finals, .. } = self.expected;
        if audio > 0.0 {
            self.tally.since(Moment::End, pace.due_of(audio), now);
        }
        if let Some(missing) =
            finals.map(|finals| finals.len().saturating_sub(self.finals)).filter(|missing| *missing > 0)
        {
            self.fault(Fault::Words, || format!("the last {missing} finals are missing"));
        }
        let heard = end.total_audio_seconds;
        if (heard - audio).abs() > 0.002 {
            self.fault(Fault::Audio, || format!("{audio:.3} s were sent and {heard:.3} s heard"));
        }
        let mut transcript = Fnv::default();
        transcript.hear(end.transcript.as_bytes());
        if !end.truncated && (transcript != self.transcript || end.segments.len() != self.finals) {
            let (segments, finals) = (end.segments.len(), self.finals);
            self.fault(Fault::Transcript, || format!("{segments} segments after {finals} finals, or another text"));
        }
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): enough to see that two texts differ without keeping either.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests;
