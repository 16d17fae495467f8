//! Word error rate: the least number of words to substitute, leave out or put in, over the number of words said.

use std::ops::{Add, AddAssign};

use serde::Serialize;

/// Errors of one text or, added up, of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WordErrors {
    /// Words that were said.
    pub words: usize,
    /// … of which another was heard.
    pub substituted: usize,
    /// … of which nothing was heard.
    pub deleted: usize,
    /// Words that were heard and not said.
    pub inserted: usize,
}

impl WordErrors {
    /// The errors of what was heard, by Levenshtein's distance on words.
    #[must_use]
    pub fn between(said: &[String], heard: &[String]) -> Self {
        // Errors of `said[..i]` against `heard[..j]`: one row for `i`, made from the one before it.
        let mut row: Vec<Self> = (0..=heard.len()).map(|inserted| Self { inserted, ..Self::default() }).collect();
        for (i, word) in said.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = Self { words: i + 1, deleted: i + 1, ..Self::default() };
            for (j, other) in heard.iter().enumerate() {
                let substitute = Self { substituted: diagonal.substituted + usize::from(word != other), ..diagonal };
                let delete = Self { deleted: row[j + 1].deleted + 1, ..row[j + 1] };
                let insert = Self { inserted: row[j].inserted + 1, ..row[j] };
                diagonal = row[j + 1];
                let best = [substitute, delete, insert].into_iter().min_by_key(Self::errors).unwrap_or(substitute);
                row[j + 1] = Self { words: i + 1, ..best };
            }
        }
        row[heard.len()]
    }

    /// All errors together.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.substituted + self.deleted + self.inserted
    }

    /// Errors over words said; 0 when nothing was said and nothing heard, and above 1 when more was heard than said.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.errors() == 0 { 0.0 } else { self.errors() as f64 / self.words.max(1) as f64 }
    }
}

impl Add for WordErrors {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            words: self.words + other.words,
            substituted: self.substituted + other.substituted,
            deleted: self.deleted + other.deleted,
            inserted: self.inserted + other.inserted,
        }
    }
}

impl AddAssign for WordErrors {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    #[test]
    fn every_kind_of_error_is_counted() {
        let check = |said: &str, heard: &str, (substituted, deleted, inserted): (usize, usize, usize)| {
            let said = words(said);
            let expected = WordErrors { words: said.len(), substituted, deleted, inserted };
            assert_eq!(WordErrors::between(&said, &words(heard)), expected, "{said:?} heard as {heard:?}");
        };
        check("go forward ten meters", "go forward ten meters", (0, 0, 0));
        check("go forward ten meters", "go four ten meters", (1, 0, 0));
        check("go forward ten meters", "go ten meters", (0, 1, 0));
        check("go forward ten meters", "go for forward ten meters", (0, 0, 1));
        check("go forward", "", (0, 2, 0));
        check("", "go forward", (0, 0, 2));
        check("a b c d e", "x a b d f", (1, 1, 1));
    }

    #[test]
    fn a_pooled_rate_weighs_each_word_alike() {
        let long = WordErrors { words: 99, substituted: 9, ..WordErrors::default() };
        let short = WordErrors { words: 1, deleted: 1, ..WordErrors::default() };
        assert_eq!((long + short).rate(), 0.1);
    }

    #[test]
    fn silence_heard_as_silence_is_no_error() {
        assert_eq!(WordErrors::default().rate(), 0.0);
        assert_eq!(WordErrors { inserted: 3, ..WordErrors::default() }.rate(), 3.0);
    }
}
