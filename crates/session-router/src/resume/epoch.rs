//! Who has a session, from one taking to the next.

/// A time in which one connection has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// How often the session was taken by then, by its first connection too.
    pub number: u64,
    /// Drawn at random for each epoch. A store that lost its newest writes gives a number twice, and only this tells the two apart.
    pub holder: u64,
}

impl Epoch {
    /// Of a session that begins.
    pub fn first() -> Self {
        Self::with_number(1)
    }

    pub(super) fn with_number(number: u64) -> Self {
        Self { number, holder: rand::random() }
    }

    /// Whether whoever had the session in this one has lost it to `held`, which the store has written down.
    pub(super) fn has_lost_to(self, held: Self) -> bool {
        held.number >= self.number && held != self
    }
}
