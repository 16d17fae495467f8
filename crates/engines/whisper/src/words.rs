//! From a model's tokens to words: pure.
//!
//! A token is some bytes, not always whole letters. One that begins with a space begins a word. Languages that are
//! written without spaces have one word per segment.

use dalston_engine_sdk::Word;

/// A token of text. Times are seconds in the audio that was decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub bytes: Vec<u8>,
    pub start: f64,
    pub end: f64,
    pub probability: f32,
}

/// The words of a segment of which nothing comes after `length` seconds.
#[derive(Debug, Default)]
pub struct Words {
    done: Vec<Word>,
    bytes: Vec<u8>,
    /// Start, end, sum of the probabilities and number of the tokens of the word that is being made.
    times: Option<(f64, f64)>,
    sum: f32,
    tokens: u16,
}

impl Words {
    /// Another token.
    pub fn push(&mut self, token: &Token) {
        if token.bytes.first() == Some(&b' ') {
            self.end_word();
        }
        self.bytes.extend_from_slice(&token.bytes);
        let start = self.times.map_or(token.start, |(start, _)| start);
        self.times = Some((start, token.end.max(start)));
        self.sum += token.probability;
        self.tokens += 1;
    }

    /// A segment is over, and with it a word.
    pub fn end_word(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let (sum, tokens) = (std::mem::take(&mut self.sum), std::mem::take(&mut self.tokens));
        let Some((start, end)) = self.times.take() else { return };
        let text: String = String::from_utf8_lossy(&bytes).split_whitespace().collect();
        if text.is_empty() || is_note(&text) {
            return;
        }
        let confidence = Some((sum / f32::from(tokens)).clamp(0.0, 1.0));
        self.done.push(Word { text, start, end, confidence });
    }

    /// The words, in order and not beyond the end of the audio.
    pub fn finish(mut self, length: f64) -> Vec<Word> {
        self.end_word();
        let mut before = 0.0_f64;
        for word in &mut self.done {
            word.start = word.start.clamp(before, length.max(before));
            word.end = word.end.clamp(word.start, length.max(word.start));
            before = word.end;
        }
        self.done
    }
}

/// What is no word but a note on what else was heard, as in `[BLANK_AUDIO]`.
fn is_note(text: &str) -> bool {
    (text.starts_with('[') && text.ends_with(']')) || text.chars().all(|c| c == '♪' || c == '*')
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn token(bytes: &[u8], start: f64, end: f64) -> Token {
        Token { bytes: bytes.to_vec(), start, end, probability: 0.5 }
    }

    fn texts(tokens: &[Token]) -> Vec<String> {
        let mut words = Words::default();
        tokens.iter().for_each(|token| words.push(token));
        words.finish(100.0).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn a_space_begins_a_word_and_letters_may_be_cut_in_two() {
        let cafe =
            [token(b" go", 0.0, 0.2), token(b" caf\xc3", 0.2, 0.4), token(b"\xa9", 0.4, 0.6), token(b".", 0.6, 0.6)];
        assert_eq!(texts(&cafe), ["go", "café."]);
        let mut words = Words::default();
        cafe.iter().for_each(|token| words.push(token));
        let words = words.finish(0.5);
        assert_eq!((words[1].start, words[1].end, words[1].confidence), (0.2, 0.5, Some(0.5)));
    }

    #[test]
    fn notes_and_empty_tokens_are_no_words() {
        assert_eq!(
            texts(&[token(b" [BLANK_AUDIO]", 0.0, 1.0), token(b" ", 0.0, 1.0), token(" ♪♪".as_bytes(), 0.0, 1.0)]),
            [""; 0]
        );
    }

    proptest! {
        #[test]
        fn any_tokens_make_words_in_order_inside_the_audio(
            tokens in vec((vec(any::<u8>(), 0..5), -1.0..40.0f64, -1.0..40.0f64), 0..20),
            length in 0.0..30.0f64,
        ) {
            let mut words = Words::default();
            for (bytes, start, end) in &tokens {
                words.push(&token(bytes, *start, *end));
            }
            let mut before = 0.0;
            for word in words.finish(length) {
                prop_assert!(!word.text.is_empty() && !word.text.contains(char::is_whitespace));
                prop_assert!(before <= word.start && word.start <= word.end && word.end <= length);
                before = word.end;
            }
        }
    }
}
