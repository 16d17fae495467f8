//! What the server heard, made to fit what engines promise.

use dalston_engine_sdk::{Hypothesis, Word, batch::Spoken};
use serde::Deserialize;

use crate::{error::CallError, languages};

/// An answer in plain or verbose JSON. What it has beside this is not read.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Reply {
    text: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    segments: Option<Vec<Segment>>,
    /// OpenAI gives the words of all segments in one list …
    #[serde(default)]
    words: Option<Vec<Timed>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Segment {
    start: f64,
    end: f64,
    text: String,
    #[serde(default)]
    avg_logprob: Option<f64>,
    /// … others with the segment.
    #[serde(default)]
    words: Option<Vec<Timed>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Timed {
    word: String,
    start: f64,
    end: f64,
    #[serde(default)]
    probability: Option<f32>,
}

impl Reply {
    /// # Errors
    /// [`CallError::Nonsense`].
    pub fn read(body: &[u8]) -> Result<Self, CallError> {
        serde_json::from_slice(body).map_err(|error| CallError::Nonsense(format!("is not a transcript: {error}")))
    }

    /// Whether it has a text and tells nothing of when it was said.
    pub fn is_bare(&self) -> bool {
        let is_empty = self.segments.iter().all(Vec::is_empty) && self.words.iter().all(Vec::is_empty);
        is_empty && !self.text.trim().is_empty()
    }

    /// The code of the language that was heard, if it is told.
    pub fn language(&self) -> Option<String> {
        languages::code(self.language.as_deref()?)
    }

    /// Segments in order, of audio that is this long, on a clock on which it begins at `start`. Without any in the answer,
    /// all of it is one.
    pub fn spoken(self, start: f64, length: f64) -> Vec<Spoken> {
        let Self { text, segments, words, .. } = self;
        let mut words = words.unwrap_or_default();
        let whole = || Segment { start: 0.0, end: length, text, avg_logprob: None, words: None };
        let mut segments = segments.filter(|segments| !segments.is_empty()).unwrap_or_else(|| vec![whole()]);
        segments.retain(|segment| segment.start.is_finite() && segment.end.is_finite());
        segments.sort_by(|a, b| a.start.total_cmp(&b.start));
        words.retain(Timed::is_sound);
        words.sort_by(|a, b| a.start.total_cmp(&b.start));
        let mut words = words.into_iter().peekable();
        let clock = Clock { start, length };
        let last = segments.len().saturating_sub(1);
        let spoken = segments.into_iter().enumerate().map(|(index, mut segment)| {
            let own = std::mem::take(&mut segment.words).unwrap_or_default();
            let mut own: Vec<Timed> = own.into_iter().filter(Timed::is_sound).collect();
            // A word belongs where its middle is; what is left belongs to the last.
            while let Some(word) = words.next_if(|word| index == last || word.middle() < segment.end) {
                own.push(word);
            }
            segment.spoken(own, clock)
        });
        spoken.filter(|spoken| !spoken.text.is_empty()).collect()
    }

    /// All of it as one utterance that is this long.
    pub fn hypothesis(self, length: f64) -> Hypothesis {
        let spoken = self.spoken(0.0, length);
        let text: Vec<&str> = spoken.iter().map(|spoken| spoken.text.as_str()).collect();
        let text = text.join(" ");
        let words: Vec<Word> = spoken.into_iter().flat_map(|spoken| spoken.words).collect();
        let told: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        // A live utterance's words are its text, where there are any.
        let text = if told.is_empty() { text } else { told.join(" ") };
        Hypothesis { text, words, confidence: None }
    }
}

/// From seconds of what was sent to those of the whole.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: f64,
    length: f64,
}

impl Clock {
    fn time(self, seconds: f64) -> f64 {
        self.start + seconds.clamp(0.0, self.length)
    }
}

impl Timed {
    fn is_sound(&self) -> bool {
        self.start.is_finite() && self.end.is_finite() && !self.word.trim().is_empty()
    }

    fn middle(&self) -> f64 {
        f64::midpoint(self.start, self.end)
    }
}

impl Segment {
    fn spoken(self, words: Vec<Timed>, clock: Clock) -> Spoken {
        let written: Vec<&str> = self.text.split_whitespace().collect();
        let (start, end) = (clock.time(self.start), clock.time(self.end));
        let mut before = clock.start;
        // OpenAI's words have lost the punctuation of the text. Where there are as many, they are the same ones.
        let as_written = written.len() == words.len();
        let words = words.into_iter().enumerate().map(|(index, timed)| {
            let text = if as_written { written[index].to_owned() } else { timed.word.split_whitespace().collect() };
            let start = clock.time(timed.start).max(before);
            let end = clock.time(timed.end).max(start);
            before = end;
            let confidence = timed.probability.filter(|probability| (0.0..=1.0).contains(probability));
            Word { text, start, end, confidence }
        });
        let words = words.collect();
        // Where nothing is known, some say 0, which would be certainty.
        let confidence = self.avg_logprob.filter(|log| *log < 0.0).map(|log| log.exp() as f32);
        Spoken { start, end: end.max(start), text: written.join(" "), confidence, words }
    }
}

#[cfg(test)]
mod tests;
