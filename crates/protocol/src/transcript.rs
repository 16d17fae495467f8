//! The transcript as the API shows it.

use serde::{Deserialize, Serialize};

/// One word on the session's audio clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word as written.
    pub text: String,
    /// The same as `text`, under the name that older clients read.
    pub word: String,
    /// Seconds since the first sample of the session, silence counted.
    pub start: f64,
    /// Seconds since the first sample of the session.
    pub end: f64,
    /// Probability in 0..=1, where the engine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

/// One utterance of a finished transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Position in the transcript, from 0.
    pub id: u32,
    /// Seconds since the first sample of the session.
    pub start: f64,
    /// Seconds since the first sample of the session.
    pub end: f64,
    /// The words, parted by single spaces.
    pub text: String,
    /// Who said it, where that was asked for: `speaker_0`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// The channel it was heard on, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u8>,
    /// Probability in 0..=1, where the engine knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// Words with times, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// Whether the words' times were not heard but shared out over the segment by their length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub words_estimated: bool,
}

/// Seconds rounded to the millisecond, which is what the API shows.
pub fn round_ms(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
