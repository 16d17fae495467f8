//! All finals of a session, as they are written down.

use dalston_session_router::KeptFinals;

/// As many as the store keeps, so that one that forgets can be told them again.
#[derive(Debug, Default)]
pub(super) struct Finals {
    kept: KeptFinals,
    /// How many the store has, those that had to go among them.
    saved: u64,
}

impl Finals {
    /// As the store has them.
    pub(super) fn written(dropped: u64, texts: Vec<String>) -> Self {
        let mut kept = KeptFinals::after(dropped);
        texts.into_iter().for_each(|text| kept.push(text));
        Self { saved: kept.count(), kept }
    }

    pub(super) fn push(&mut self, text: String) {
        self.kept.push(text);
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.kept.count()
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
        self.saved >= self.kept.dropped()
    }

    /// How many are not here any more, and the others.
    pub(super) fn all(&self) -> (u64, Vec<String>) {
        (self.kept.dropped(), self.kept.skip(0))
    }

    /// How many the store has, and the others.
    pub(super) fn unsaved(&self) -> (u64, Vec<String>) {
        (self.saved, self.kept.skip(self.saved.saturating_sub(self.kept.dropped()) as usize))
    }
}

#[cfg(test)]
mod tests {
    use dalston_session_router::MOST_FINALS_BYTES;

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
