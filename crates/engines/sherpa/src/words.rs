//! From the library's tokens to words, and punctuation into them: pure.

use dalston_engine_sdk::{Hypothesis, Word};

/// How pieces of words are marked that begin one, in vocabularies of pieces.
const BEGINNING: [char; 2] = [' ', '\u{2581}'];
/// How long a token lasts whose end nobody knows: the library tells beginnings.
const TOKEN: f64 = 0.2;

/// The words of an utterance of so many seconds. `starts` are those of the tokens, where the model tells them.
pub fn hypothesis(text: &str, tokens: &[String], starts: Option<&[f32]>, length: f64) -> Hypothesis {
    let mut words: Vec<Word> = Vec::new();
    let starts = starts.filter(|starts| starts.len() == tokens.len());
    let start_of = |at: usize| starts.and_then(|starts| starts.get(at)).map_or(length, |start| f64::from(*start));
    let mut begins = true;
    for (at, token) in tokens.iter().enumerate().filter(|_| starts.is_some()) {
        begins |= token.starts_with(BEGINNING);
        let piece = token.replace(BEGINNING, "");
        // A mark alone begins the word that comes with the next token. Events such as `<|en|>` are no speech.
        if piece.is_empty() || (piece.starts_with("<|") && piece.ends_with("|>")) {
            continue;
        }
        let after_last = words.last().map_or(0.0, |word| if begins { word.end } else { word.start });
        let start = start_of(at).max(after_last).min(length.max(after_last));
        let end = (start_of(at) + TOKEN).min(start_of(at + 1)).clamp(start, length.max(start));
        match words.last_mut() {
            Some(word) if !begins => {
                word.text += &piece;
                word.end = end.max(word.end);
            }
            _ => words.push(Word { text: piece, start, end, confidence: None }),
        }
        begins = false;
    }
    // Where tokens have no times there is the text alone: all of it one utterance's length.
    if words.is_empty() {
        words = spread(text, length);
    }
    lower_shouting(&mut words);
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    Hypothesis { text: texts.join(" "), words, confidence: None }
}

/// The words of a text over the time they took, by their length.
fn spread(text: &str, length: f64) -> Vec<Word> {
    let texts: Vec<&str> = text.split_whitespace().collect();
    let letters = |text: &str| text.chars().count() as f64;
    let all: f64 = texts.iter().map(|text| letters(text)).sum();
    let mut at = 0.0;
    let each = texts.into_iter().map(|text| {
        let start = at;
        at += length * letters(text) / all;
        Word { text: text.to_owned(), start, end: at.min(length).max(start), confidence: None }
    });
    each.collect()
}

/// Models that know capital letters only mean small ones.
fn lower_shouting(words: &mut [Word]) {
    if !words.iter().any(|word| word.text.chars().any(char::is_lowercase)) {
        words.iter_mut().for_each(|word| word.text = word.text.to_lowercase());
    }
}

/// The hypothesis with the punctuation and case of `text`, if that has the same number of words: it is the same text
/// then.
pub fn punctuated(mut hypothesis: Hypothesis, text: &str) -> Hypothesis {
    let texts: Vec<&str> = text.split_whitespace().collect();
    if texts.len() == hypothesis.words.len() {
        hypothesis.text = texts.join(" ");
        hypothesis.words.iter_mut().zip(texts).for_each(|(word, text)| text.clone_into(&mut word.text));
    }
    hypothesis
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn tokens(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn pieces_make_words_with_times() {
        let heard = hypothesis("", &tokens(&["\u{2581}GO", " FOR", "WARD", " TEN"]), Some(&[0.2, 0.6, 0.8, 1.96]), 2.0);
        assert_eq!(heard.text, "go forward ten");
        let times: Vec<(f64, f64)> = heard.words.iter().map(|word| (word.start, word.end)).collect();
        let expected = [(0.2, 0.4), (0.6, 1.0), (1.96, 2.0)];
        for ((start, end), (from, to)) in times.iter().zip(expected) {
            assert!((start - from).abs() < 1e-3 && (end - to).abs() < 1e-3, "{times:?}");
        }
    }

    #[test]
    fn a_text_without_tokens_is_spread_by_length() {
        let heard = hypothesis("a bcd", &[], None, 4.0);
        assert_eq!(heard.words.iter().map(|word| (word.start, word.end)).collect::<Vec<_>>(), [(0.0, 1.0), (1.0, 4.0)]);
    }

    #[test]
    fn punctuation_goes_into_the_same_words_and_no_others() {
        let heard = hypothesis("", &tokens(&[" go", " on"]), Some(&[0.0, 0.5]), 1.0);
        let marked = punctuated(heard.clone(), "Go on.");
        assert_eq!(
            (marked.text.as_str(), marked.words[1].text.as_str(), marked.words[1].start),
            ("Go on.", "on.", 0.5)
        );
        assert_eq!(punctuated(heard.clone(), "Go , on ."), heard);
    }

    proptest! {
        #[test]
        fn any_tokens_make_words_in_order_inside_the_audio(
            parts in vec(("[ \u{2581}]?[a-zA-Z]{0,3}", 0.0..20.0f32), 0..12), length in 0.0..15.0f64,
        ) {
            let (texts, starts): (Vec<String>, Vec<f32>) = parts.into_iter().unzip();
            let heard = hypothesis("", &texts, Some(&starts), length);
            let mut before = 0.0;
            for word in &heard.words {
                prop_assert!(!word.text.is_empty() && !word.text.contains(char::is_whitespace), "{heard:?}");
                prop_assert!(before <= word.start && word.start <= word.end, "{heard:?}");
                prop_assert!(word.end <= length, "{heard:?} in {length}");
                before = word.end;
            }
        }
    }
}
