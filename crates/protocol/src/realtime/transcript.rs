//! The finals of a session, kept for its last message.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{SessionEnd, TranscriptFinal};
use crate::{Segment, SessionId, round_ms};

/// Bytes of text and words kept for `session.end`. A session that says more loses its oldest segments there (the client got
/// each of them as a final long before), and `truncated` says so.
const MAX_BYTES: usize = 1024 * 1024;
/// What a word or a segment takes beside its text.
const OVERHEAD: usize = 96;

/// Finals so far, in the order they were sent. It travels with a session that moves to another worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionTranscript {
    segments: VecDeque<Segment>,
    bytes: usize,
    next_id: u32,
    truncated: bool,
}

impl SessionTranscript {
    /// Adds a final.
    pub fn push(&mut self, said: &TranscriptFinal) {
        let segment = Segment {
            id: self.next_id,
            start: said.start,
            end: said.end,
            text: said.text.clone(),
            speaker: None,
            channel: said.channel,
            confidence: said.confidence,
            words: said.words.clone(),
            words_estimated: false,
        };
        self.next_id += 1;
        self.bytes += size(&segment);
        self.segments.push_back(segment);
        while self.bytes > MAX_BYTES && self.segments.len() > 1 {
            self.bytes -= self.segments.pop_front().as_ref().map_or(0, size);
            self.truncated = true;
        }
    }

    /// Says that its oldest part is missing.
    pub fn lacks_its_beginning(&mut self) {
        self.truncated = true;
    }

    /// The session's last message. Segments of two channels are put in order of their start.
    pub fn into_end(self, session_id: SessionId, audio_seconds: f64, speech_seconds: f64) -> SessionEnd {
        let mut segments = Vec::from(self.segments);
        segments.sort_by(|a, b| a.start.total_cmp(&b.start));
        for (id, segment) in (0..).zip(&mut segments) {
            segment.id = id;
        }
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        SessionEnd {
            session_id,
            total_audio_seconds: round_ms(audio_seconds),
            total_speech_duration: round_ms(speech_seconds),
            transcript: texts.join(" "),
            segments,
            truncated: self.truncated,
        }
    }
}

fn size(segment: &Segment) -> usize {
    let words: usize = segment.words.iter().map(|word| 2 * word.text.len() + OVERHEAD).sum();
    segment.text.len() + words + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::FinalCause;

    fn said(start: f64, text: String) -> TranscriptFinal {
        TranscriptFinal {
            utterance_id: "utt_1".into(),
            text,
            start,
            end: start + 1.0,
            confidence: None,
            language: "en".into(),
            words: Vec::new(),
            channel: None,
            cause: FinalCause::Endpoint,
            id: None,
        }
    }

    #[test]
    fn segments_of_two_channels_are_in_order_of_time() {
        let mut transcript = SessionTranscript::default();
        for (start, text) in [(2.0, "b"), (0.0, "a"), (3.0, "c")] {
            transcript.push(&said(start, text.into()));
        }
        let end = transcript.into_end(SessionId::generate(), 4.0, 3.0);
        assert_eq!(end.transcript, "a b c");
        assert_eq!(end.segments.iter().map(|s| s.id).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(!end.truncated);
    }

    #[test]
    fn an_endless_session_keeps_a_bounded_transcript_and_says_so() {
        let mut transcript = SessionTranscript::default();
        for i in 0..5_000 {
            transcript.push(&said(f64::from(i), "x".repeat(1000)));
            assert!(transcript.bytes <= MAX_BYTES);
        }
        let end = transcript.into_end(SessionId::generate(), 1.0, 1.0);
        assert!(end.truncated);
        assert_eq!(end.segments.last().map(|s| s.start), Some(4999.0), "the newest is kept");
    }
}
