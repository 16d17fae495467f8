//! Vocabulary hints: words and phrases that are likely to be said.
//!
//! Each hint becomes a dictionary entry of its own, beside the same word if the dictionary has it, and a word of the
//! language model with a weight of its own: so a known word is made likelier, and an unknown one becomes possible.
//! A phrase is one entry, which makes it likelier only as a whole; words of it that are unknown get entries too.

use dalston_engine_sdk::EngineError;

use crate::decoder::Decoder;
use crate::hypothesis::{HINT, JOINT};
use crate::letters;

/// How much likelier a hint is than a word would be if all words were equally likely. A trial, not a tuned value: on three
/// synthetic sentences weight 1 brought no hint out, and 10 to 10,000 brought out the same one. How often a hint is heard
/// that was not said has not been measured.
const WEIGHT: f32 = 100.0;
/// Hints beyond this are left out: each makes the search larger.
const MOST_HINTS: usize = 200;

/// A dictionary entry to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    token: String,
    phones: String,
}

/// Teaches a decoder the hints. Terms that have no letters, or no pronunciation in this model's phones, are left out.
pub fn apply(decoder: &mut Decoder, terms: &[String]) -> Result<(), EngineError> {
    let entries = entries(terms, &|word| decoder.pronunciation(word));
    let Some((last, others)) = entries.split_last() else { return Ok(()) };
    for entry in others {
        // A refused entry (a phone that another language's model lacks) costs that hint, not the session.
        let _refused = decoder.add_word(&entry.token, &entry.phones, WEIGHT, false);
    }
    decoder.add_word(&last.token, &last.phones, WEIGHT, true)
}

/// The entries for these terms, each token once.
fn entries(terms: &[String], known: &dyn Fn(&str) -> Option<String>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut add = |words: &[String], phones: &[String]| {
        let token = format!("{}{HINT}", words.join(&JOINT.to_string()));
        if entries.iter().all(|entry| entry.token != token) && entries.len() < MOST_HINTS {
            entries.push(Entry { token, phones: phones.join(" ") });
        }
    };
    for term in terms {
        let words: Vec<String> = term.split(|c: char| c.is_whitespace() || c == '-').filter_map(spelled).collect();
        let phones: Vec<String> =
            words.iter().map(|word| known(word).unwrap_or_else(|| letters::phones(word))).collect();
        if words.is_empty() || phones.iter().any(String::is_empty) {
            continue;
        }
        add(&words, &phones);
        for (word, phones) in words.iter().zip(&phones).filter(|(word, _)| words.len() > 1 && known(word).is_none()) {
            add(std::slice::from_ref(word), std::slice::from_ref(phones));
        }
    }
    entries
}

/// A word as dictionaries write it: lower case, letters and apostrophes. `None` when nothing is left.
fn spelled(word: &str) -> Option<String> {
    let plain: String = word.chars().filter(|c| c.is_alphabetic() || *c == '\'').flat_map(char::to_lowercase).collect();
    plain.chars().any(char::is_alphabetic).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(terms: &[&str]) -> Vec<String> {
        let terms: Vec<String> = terms.iter().map(|&term| term.to_owned()).collect();
        let known = |word: &str| (word == "the" || word == "who").then(|| "DH AH".to_owned());
        entries(&terms, &known).into_iter().map(|entry| entry.token).collect()
    }

    #[test]
    fn a_phrase_is_one_entry_and_its_unknown_words_are_entries_too() {
        assert_eq!(tokens(&["the who"]), ["the_who~"]);
        assert_eq!(tokens(&["The Zorblatt", "zorblatt"]), ["the_zorblatt~", "zorblatt~"]);
    }

    #[test]
    fn terms_without_letters_are_left_out() {
        assert_eq!(tokens(&["", "  ", "42", "!?", "who"]), ["who~"]);
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let terms: Vec<String> = (0..500u32)
            .map(|i| format!("w{}", "abcdefghij".repeat(i as usize % 9 + 1) + &"x".repeat(i as usize)))
            .collect();
        assert_eq!(entries(&terms, &|_| None).len(), MOST_HINTS);
    }
}
