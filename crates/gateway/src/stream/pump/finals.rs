//! All finals of a session, as they are written down.

use std::collections::VecDeque;

use dalston_session_router::MOST_FINALS_BYTES;

/// As many as the store keeps, so that one that forgets can be told them again. When there are more, the oldest go.
#[derive(Debug, Default)]
pub(super) struct Finals {
    texts: VecDeque<String>,
    bytes: usize,
    /// Oldest ones that had to go.
    dropped: u64,
    /// How many the store has, those that had to go among them.
    saved: u64,
}

impl Finals {
    /// As the store has them.
    pub(super) fn written(dropped: u64, texts: Vec<String>) -> Self {
        let (bytes, saved) = (texts.iter().map(String::len).sum(), dropped + texts.len() as u64);
        Self { texts: texts.into(), bytes, dropped, saved }
    }

    pub(super) fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push_back(text);
        while self.bytes > MOST_FINALS_BYTES && self.texts.len() > 1 {
            self.bytes -= self.texts.pop_front().map_or(0, |text| text.len());
            self.dropped += 1;
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.dropped + self.texts.len() as u64
    }

    /// The store has so many.
    pub(super) fn saved(&mut self, count: u64) {
        self.saved = count;
    }

    pub(super) fn are_saved(&self) -> bool {
        self.saved == self.count()
    }

    /// Whether what is here follows what the store has.
    pub(super) fn follows(&self) -> bool {
        self.saved >= self.dropped
    }

    /// How many are not here any more, and the others.
    pub(super) fn all(&self) -> (u64, Vec<String>) {
        (self.dropped, self.texts.iter().cloned().collect())
    }

    /// How many the store has, and the others.
    pub(super) fn unsaved(&self) -> (u64, Vec<String>) {
        let there = self.saved.saturating_sub(self.dropped) as usize;
        (self.saved, self.texts.iter().skip(there).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_saved_follows_what_is() {
        let mut finals = Finals::written(3, vec!["d".into(), "e".into()]);
        assert!(finals.are_saved() && finals.follows());
        finals.push("f".into());
        assert_eq!(finals.unsaved(), (5, vec!["f".to_owned()]));
        assert_eq!(finals.all(), (3, ["d", "e", "f"].map(String::from).into()));
        finals.saved(finals.count());
        assert_eq!(finals.unsaved(), (6, Vec::new()));
    }

    #[test]
    fn they_are_bounded_also_while_the_store_is_away() {
        let mut finals = Finals::default();
        for _ in 0..20 {
            finals.push("x".repeat(MOST_FINALS_BYTES / 8));
        }
        assert_eq!((finals.count(), finals.all().1.len()), (20, 8));
        assert!(!finals.follows(), "the store is to be told what there is");
    }
}
