//! What an engine heard.

use serde::{Deserialize, Serialize};

/// The words of an utterance as far as the engine has heard it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The whole text, words parted by single spaces; empty when nothing was recognised.
    pub text: String,
    /// The words with times, where the engine has them. Empty for most partials.
    pub words: Vec<Word>,
    /// Probability in 0..=1 that the text is right, where the engine knows.
    pub confidence: Option<f32>,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// The word as written.
    pub text: String,
    /// Seconds from the utterance's first sample.
    pub start: f64,
    /// Seconds from the utterance's first sample; not before `start`.
    pub end: f64,
    /// Probability in 0..=1, where the engine knows.
    pub confidence: Option<f32>,
}
