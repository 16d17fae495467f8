//! From the decoder's segments to the words a reader sees.
//!
//! A segment's token is a dictionary entry: a word, perhaps with the number of its pronunciation (`read(2)`), or a filler
//! (`<s>`, `<sil>`, `[NOISE]`, `++UM++`). Entries made from vocabulary hints end in [`HINT`], and a phrase among them
//! is one entry whose words are joined by [`JOINT`].

use dalston_engine_sdk::{Hypothesis, Word};

/// Marks a dictionary entry made from a hint, so that it can stand beside the same word in the dictionary.
pub const HINT: char = '~';
/// Joins the words of a phrase in one dictionary entry.
pub const JOINT: char = '_';
/// Frames of the decoder per second of audio.
pub const FRAMES_PER_SECOND: f64 = 100.0;

/// One stretch of the best path.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The dictionary entry.
    pub token: String,
    /// First frame.
    pub start: u32,
    /// Last frame, inclusive.
    pub end: u32,
    /// Posterior probability, once the utterance has ended.
    pub confidence: Option<f32>,
    /// How well it fits the sound, once the utterance has ended: logarithms of all its frames together.
    pub acoustic: i32,
}

impl Segment {
    /// Whether it stands for no word: silence, noise, or a way between words.
    pub fn is_filler(&self) -> bool {
        spelling(&self.token).is_none()
    }
}

/// The readable words of a best path.
pub fn hypothesis(segments: impl IntoIterator<Item = Segment>) -> Hypothesis {
    let words: Vec<Word> = segments.into_iter().flat_map(|segment| words(&segment)).collect();
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let confidence = mean(words.iter().map(|word| word.confidence));
    Hypothesis { text, words, confidence }
}

/// The words of one segment: none for a filler, several for a phrase, which share its time by their length in letters.
fn words(segment: &Segment) -> Vec<Word> {
    let Some(spelling) = spelling(&segment.token) else { return Vec::new() };
    let start = f64::from(segment.start) / FRAMES_PER_SECOND;
    let seconds = f64::from(segment.end + 1 - segment.start.min(segment.end)) / FRAMES_PER_SECOND;
    let letters = spelling.chars().filter(|&c| c != JOINT).count().max(1) as f64;
    let mut before = 0.0;
    spelling
        .split(JOINT)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let from = before;
            before += word.chars().count() as f64;
            Word {
                text: word.to_owned(),
                start: start + seconds * from / letters,
                end: start + seconds * before / letters,
                confidence: segment.confidence,
            }
        })
        .collect()
}

/// A token without its marks, or `None` for a filler.
fn spelling(token: &str) -> Option<&str> {
    if token.starts_with(['<', '[']) || token == "(NULL)" || token.starts_with("++") {
        return None;
    }
    let base = match token.rfind('(') {
        Some(at) if at > 0 && token.ends_with(')') => &token[..at],
        _ => token,
    };
    Some(base.trim_end_matches(HINT)).filter(|word| !word.is_empty())
}

/// The mean of what is known, or `None` when nothing is.
fn mean(values: impl Iterator<Item = Option<f32>>) -> Option<f32> {
    let (sum, count) = values.flatten().fold((0.0, 0u16), |(sum, count), v| (sum + v, count.saturating_add(1)));
    (count > 0).then(|| sum / f32::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tokens: &[&str]) -> String {
        let segment = |(i, token): (usize, &&str)| Segment {
            token: (*token).to_owned(),
            start: i as u32 * 10,
            end: i as u32 * 10 + 9,
            confidence: None,
            acoustic: 0,
        };
        hypothesis(tokens.iter().enumerate().map(segment)).text
    }

    #[test]
    fn marks_of_the_dictionary_are_not_shown() {
        assert_eq!(text(&["<s>", "read(2)", "the", "[NOISE]", "++UM++", "a(2)", "<sil>", "</s>"]), "read the a");
        assert_eq!(text(&["dalston~", "redis~(2)", "sea_shell~"]), "dalston redis sea shell");
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["(", "~"]), "(");
    }

    #[test]
    fn a_phrase_shares_its_time_by_letters() {
        let segment = Segment { token: "go_forward~".into(), start: 100, end: 189, confidence: Some(0.5), acoustic: 0 };
        let found = hypothesis([segment]);
        let times: Vec<_> = found.words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect();
        assert_eq!(times, [("go", 1.0, 1.2), ("forward", 1.2, 1.9)]);
        assert_eq!(found.confidence, Some(0.5));
    }
}
