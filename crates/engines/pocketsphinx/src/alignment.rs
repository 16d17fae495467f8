//! When each word of a text was said: a search for exactly that text, with silence where there is some.
//!
//! A word of the text is one entry of the decoder's dictionary, whatever is said for it (`spoken`), so the n-th entry of the
//! decoder's path is the n-th word that has a sound, and nothing has to be matched afterwards.
//!
//! The decoder finds a way through for almost any text. How far the text is from what was said shows in the score: per frame
//! and against the sound that fits best, right texts were 25 to 43 away on clean speech (LibriVox, four synthetic voices,
//! telephone bandwidth) and 48 in loud noise, other texts 92 and more. [`FURTHEST`] lies between.

use std::collections::HashMap;

use dalston_engine_sdk::{EngineError, Hypothesis, MAX_TEXT, NativeStream, SAMPLE_RATE, Word};

use crate::decoder::Decoder;
use crate::hypothesis::{FRAMES_PER_SECOND, HINT, Segment};
use crate::{letters, spoken};

/// Most audio that is aligned at once. The search takes a fourteenth of its length, at one go.
const LONGEST: usize = 300 * SAMPLE_RATE as usize;
/// Mean distance of the words, in the decoder's logarithms, from which the text is not what was said.
const FURTHEST: f64 = 65.0;
/// Most phones of one word of the text: a number of twelve digits has fewer. What is longer nobody says in one breath.
const MOST_PHONES: usize = 100;

/// One text and its audio.
pub struct Alignment {
    decoder: Decoder,
    text: Text,
    /// At most [`LONGEST`].
    heard: Vec<i16>,
}

/// A text as its decoder knows it.
#[derive(Debug, Default, PartialEq)]
struct Text {
    /// Its words, and whether each has a sound.
    words: Vec<(String, bool)>,
    /// The dictionary entries of those that have, in order.
    tokens: Vec<String>,
}

/// A dictionary entry to be made: one way to say a word.
#[derive(Debug, PartialEq)]
struct Entry {
    token: String,
    phones: String,
}

impl Alignment {
    /// Teaches a decoder the text.
    ///
    /// # Errors
    /// [`EngineError::Rejected`] for a text that nobody can say: too long, or without a pronunciation in this model.
    pub fn new(mut decoder: Decoder, text: &str) -> Result<Self, EngineError> {
        let (text, entries) = Text::read(text, &|word| decoder.pronunciation(word))?;
        for entry in entries {
            decoder.add_word(&entry.token, &entry.phones, 1.0, false).map_err(|_refused| {
                EngineError::Rejected("the model has no sound for a word of the text".to_owned())
            })?;
        }
        if !text.tokens.is_empty() {
            decoder.expect(&text.tokens)?;
        }
        Ok(Self { decoder, text, heard: Vec::new() })
    }
}

impl Text {
    /// The text's words and the entries they need beside those of the dictionary, which is asked with `known`.
    fn read(text: &str, known: &dyn Fn(&str) -> Option<String>) -> Result<(Self, Vec<Entry>), EngineError> {
        let rejected = |why: &str| EngineError::Rejected(why.to_owned());
        if text.len() > MAX_TEXT {
            return Err(rejected("the text is too long to be aligned"));
        }
        let (mut read, mut entries) = (Self::default(), Vec::new());
        let mut tokens: HashMap<Vec<Vec<String>>, String> = HashMap::new();
        for word in text.split_whitespace() {
            let ways = spoken::ways(word);
            read.words.push((word.to_owned(), !ways.is_empty()));
            if ways.is_empty() {
                continue;
            }
            let number = tokens.len();
            let token = match tokens.entry(ways) {
                std::collections::hash_map::Entry::Occupied(token) => token.get().clone(),
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    let token = match vacant.key().as_slice() {
                        // The dictionary's own entry has all its pronunciations.
                        [way] if matches!(way.as_slice(), [word] if is_plain(word) && known(word).is_some()) => {
                            way[0].clone()
                        }
                        ways => {
                            let token = format!("w{number}{HINT}");
                            let added = add(&token, ways, known, &mut entries);
                            added.ok_or_else(|| rejected("a word of the text cannot be said"))?;
                            token
                        }
                    };
                    vacant.insert(token).clone()
                }
            };
            read.tokens.push(token);
        }
        Ok((read, entries))
    }

    /// The words with the times of the decoder's path; `None` when it is no path through this text.
    fn place(&self, path: &[Segment]) -> Option<Vec<Word>> {
        let mut path = path.iter();
        let mut before = path.as_slice().first().map_or(0.0, start_of);
        let mut placed = Vec::with_capacity(self.words.len());
        for (text, has_sound) in &self.words {
            let (start, end) = match has_sound {
                true => path.next().map(|segment| (start_of(segment), end_of(segment)))?,
                false => (before, before),
            };
            before = end;
            placed.push(Word { text: text.clone(), start, end, confidence: None });
        }
        path.next().is_none().then_some(placed)
    }
}

/// The ways of one word as entries: `w7~`, `w7~(2)`, … `None` when none of them can be said.
fn add(
    token: &str,
    ways: &[Vec<String>],
    known: &dyn Fn(&str) -> Option<String>,
    entries: &mut Vec<Entry>,
) -> Option<()> {
    let say = |word: &String| known(word).unwrap_or_else(|| letters::phones(word));
    let phones = |way: &Vec<String>| way.iter().map(say).filter(|phones| !phones.is_empty()).collect::<Vec<_>>();
    let can_be_said = |phones: &String| (1..=MOST_PHONES).contains(&phones.split_whitespace().count());
    let said: Vec<String> = ways.iter().map(|way| phones(way).join(" ")).filter(can_be_said).collect();
    let first = said.first()?.clone();
    entries.push(Entry { token: token.to_owned(), phones: first });
    for (number, phones) in (2..).zip(said.into_iter().skip(1)) {
        entries.push(Entry { token: format!("{token}({number})"), phones });
    }
    Some(())
}

/// Whether a word means nothing but itself in a grammar.
fn is_plain(word: &str) -> bool {
    const KEYWORDS: [&str; 3] = ["grammar", "public", "import"];
    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'\'') && !KEYWORDS.contains(&word)
}

fn start_of(segment: &Segment) -> f64 {
    f64::from(segment.start) / FRAMES_PER_SECOND
}

fn end_of(segment: &Segment) -> f64 {
    f64::from(segment.end.max(segment.start) + 1) / FRAMES_PER_SECOND
}

/// How far a path is from the sound, per frame. Each word counts the same: one that is stretched over minutes of silence fits
/// those well.
fn distance(path: &[Segment]) -> f64 {
    let frames = |segment: &Segment| f64::from(segment.end.saturating_sub(segment.start)) + 1.0;
    let sum: f64 = path.iter().map(|segment| -f64::from(segment.acoustic) / frames(segment)).sum();
    sum / path.len().max(1) as f64
}

impl NativeStream for Alignment {
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        if self.heard.len() + samples.len() > LONGEST {
            return Err(EngineError::Rejected("the audio is too long to be aligned at once".to_owned()));
        }
        self.heard.extend_from_slice(samples);
        Ok(())
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        Ok(None)
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        let heard = std::mem::take(&mut self.heard);
        let mut path = Vec::new();
        if !self.text.tokens.is_empty() {
            self.decoder.process_whole(&heard)?;
            path = self.decoder.segments();
            path.retain(|segment| !segment.is_filler());
        }
        let words = self.text.place(&path).filter(|_| distance(&path) < FURTHEST);
        let words = words.ok_or_else(|| EngineError::Rejected("the text is not what was said".to_owned()))?;
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Hypothesis { text, words, confidence: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(word: &str) -> Option<String> {
        matches!(word, "go" | "public" | "ten" | "don't").then(|| "G OW".to_owned())
    }

    #[test]
    fn known_words_are_their_own_entries_and_others_get_one_for_all_their_ways() {
        let (text, entries) = Text::read("Go — public Zorb, go! 10 zorb don’t", &known).expect("read");
        assert_eq!(text.tokens, ["go", "w1~", "w2~", "go", "w3~", "w2~", "don't"]);
        assert_eq!(text.words[1], ("—".to_owned(), false));
        let tokens: Vec<&str> = entries.iter().map(|entry| entry.token.as_str()).collect();
        assert_eq!(tokens, ["w1~", "w2~", "w3~", "w3~(2)", "w3~(3)"], "ten, one zero, one oh");
    }

    #[test]
    fn what_nobody_can_say_is_refused() {
        for text in ["a".repeat(10_000), format!("go {}", "9".repeat(500)), "go ".repeat(MAX_TEXT)] {
            assert!(matches!(Text::read(&text, &known), Err(EngineError::Rejected(_))), "{}", text.len());
        }
        assert!(matches!(Text::read("go 語", &known), Err(EngineError::Rejected(_))));
    }

    fn path(tokens: &[String]) -> Vec<Segment> {
        let segment = |(at, token): (usize, &String)| Segment {
            token: token.clone(),
            start: at as u32 * 10,
            end: at as u32 * 10 + 7,
            confidence: None,
            acoustic: -100,
        };
        tokens.iter().enumerate().map(segment).collect()
    }

    proptest! {
        #[test]
        fn words_are_the_texts_own_in_order_and_in_time(
            text in "([\\PC&&[^0-9]]{1,6}|[a-z]{1,8}[,.!?]?|[0-9]{1,5}%?|[ \\t\\n—]{1,3}| ){0,30}",
        ) {
            let Ok((read, entries)) = Text::read(&text, &known) else { return Ok(()) };
            let path = path(&read.tokens);
            let words = read.place(&path).expect("a path through the text");
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            prop_assert_eq!(texts, text.split_whitespace().collect::<Vec<_>>());
            prop_assert!(words.iter().all(|word| word.start <= word.end));
            prop_assert!(words.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?}", words);
            if let Some((_, shorter)) = path.split_last() {
                prop_assert_eq!(read.place(shorter), None);
                prop_assert_eq!(read.place(&[path.clone(), vec![path[0].clone()]].concat()), None);
            }
            for entry in entries {
                prop_assert!(entry.token.is_ascii() && !entry.phones.is_empty());
            }
        }
    }
}
