//! Which words of a hypothesis are final: pure, without audio or clocks.
//!
//! LocalAgreement-2 (Macháček, Dabre, Bojar 2023): what two hypotheses in a row begin with alike is committed.
//! Contract, held by property tests:
//!
//! * What is committed stays: it is only ever appended to.
//! * A word is committed when the hypothesis before had the same word at the same place, but for case and punctuation.
//! * Hypotheses that are each a beginning of the same text end in that text, no word lost and none twice, wherever the
//!   audio before them was cut off.
//!
//! A hypothesis is of the audio in the *window*, which holds some committed words too: those after the last
//! [cut](LocalAgreement::cut). Which of its words are new is found by their text first and by their times second,
//! because the times of a model shift from one hypothesis to the next by more than a word's length.

use dalston_engine_sdk::Word;

/// The words of one utterance.
#[derive(Debug, Clone, Default)]
pub struct LocalAgreement {
    committed: Vec<Word>,
    /// How many of them were spoken before the window.
    before: usize,
    /// What the last hypothesis had beyond them.
    tail: Vec<Word>,
}

impl LocalAgreement {
    /// Hears the words of the whole window, with their times in the utterance. Gives how many words are committed by
    /// it.
    pub fn hear(&mut self, hypothesis: Vec<Word>) -> usize {
        let mut new = self.beyond_committed(hypothesis);
        let agreed = self.tail.iter().zip(&new).take_while(|(old, new)| is_same(&old.text, &new.text)).count();
        self.tail = new.split_off(agreed);
        self.commit(new);
        agreed
    }

    /// Commits what the last hypothesis had, agreed or not.
    pub fn commit_tail(&mut self) {
        let tail = std::mem::take(&mut self.tail);
        self.commit(tail);
    }

    /// Moves the window forward, so that it begins with the last `keep` of the committed words. Gives where that is.
    pub fn cut(&mut self, keep: usize) -> Option<f64> {
        let before = self.committed.len().saturating_sub(keep).max(self.before);
        self.before = before;
        self.committed.get(before).map(|word| word.start).or_else(|| self.committed.last().map(|word| word.end))
    }

    /// What is final.
    pub fn committed(&self) -> &[Word] {
        &self.committed
    }

    /// What was said before the window: what a model is prompted with.
    pub fn before_window(&self) -> &[Word] {
        &self.committed[..self.before]
    }

    /// What is final, and the rest of the last hypothesis.
    pub fn words(&self) -> Vec<Word> {
        let mut words = self.committed.clone();
        append(&mut words, self.tail.iter().cloned());
        words
    }

    /// The utterance is over, and this is the last hypothesis of the window.
    pub fn finish(mut self, hypothesis: Vec<Word>) -> Vec<Word> {
        self.tail = self.beyond_committed(hypothesis);
        self.words()
    }

    fn commit(&mut self, words: Vec<Word>) {
        append(&mut self.committed, words);
    }

    /// The hypothesis without that beginning of it which is most like the committed words of the window.
    fn beyond_committed(&self, mut hypothesis: Vec<Word>) -> Vec<Word> {
        let known = &self.committed[self.before..];
        let Some(last) = known.last() else { return hypothesis };
        // Edits that make the known words out of each beginning of the hypothesis: one row of Levenshtein's table after
        // the other.
        let mut edits: Vec<usize> = (0..=hypothesis.len()).collect();
        for (row, word) in known.iter().enumerate() {
            let mut diagonal = edits[0];
            edits[0] = row + 1;
            for (column, heard) in hypothesis.iter().enumerate() {
                let replaced = diagonal + usize::from(!is_same(&word.text, &heard.text));
                diagonal = edits[column + 1];
                edits[column + 1] = replaced.min(diagonal + 1).min(edits[column] + 1);
            }
        }
        let end_of = |count: usize| if count == 0 { 0.0 } else { hypothesis[count - 1].end };
        let distance = |count: usize| (end_of(count) - last.end).abs();
        let best =
            (0..=hypothesis.len()).min_by(|&a, &b| edits[a].cmp(&edits[b]).then(distance(a).total_cmp(&distance(b))));
        hypothesis.split_off(best.unwrap_or(0))
    }
}

/// Appends words whose times may reach back before those that are there.
fn append(words: &mut Vec<Word>, more: impl IntoIterator<Item = Word>) {
    for word in more {
        let start = words.last().map_or(0.0, |last| last.end).max(word.start);
        words.push(Word { start, end: start.max(word.end), ..word });
    }
}

/// Whether two words are the same but for case and punctuation, in which hypotheses differ most.
fn is_same(a: &str, b: &str) -> bool {
    fn letters(word: &str) -> impl Iterator<Item = char> {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
    }
    let mut any = letters(a).peekable();
    if any.peek().is_none() { a == b } else { any.eq(letters(b)) }
}

#[cfg(test)]
mod tests;
