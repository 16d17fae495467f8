//! Which of those that had a session has written of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A part of a session's life: the time that it spent with one worker, for one of its connections.
///
/// A session may go on elsewhere while the worker that had it before cannot be told so, and ends its half of it later. The one
/// with the greater incarnation had the session last, and its record is the whole one; no other replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// How often a connection has taken the session, the first one included.
    pub epoch: u64,
    /// How often it has moved to another worker.
    pub moves: u32,
}

impl Incarnation {
    /// Of a session that begins.
    pub const FIRST: Self = Self { epoch: 1, moves: 0 };

    pub(crate) fn is_first(&self) -> bool {
        *self == Self::FIRST
    }

    /// What stands in the names of files between their stem and their suffix. Nothing for the first one, which is the only
    /// one that most sessions have.
    pub(crate) fn infix(self) -> String {
        if self.is_first() { String::new() } else { format!(".{self}") }
    }
}

impl Default for Incarnation {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.moves)
    }
}

impl FromStr for Incarnation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, moves) = text.split_once('-').ok_or(())?;
        let read = Self { epoch: epoch.parse().map_err(drop)?, moves: moves.parse().map_err(drop)? };
        // It has one name.
        if read.to_string() == text { Ok(read) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_taken_it_later_is_greater_and_then_who_has_moved_it_more_often() {
        let of = |epoch, moves| Incarnation { epoch, moves };
        let in_order = [Incarnation::FIRST, of(1, 1), of(1, 12), of(2, 0), of(2, 1), of(10, 0)];
        assert!(in_order.is_sorted_by(|one, next| one < next));
        for incarnation in in_order {
            assert_eq!(incarnation.to_string().parse(), Ok(incarnation));
        }
        for wrong in ["", "1", "-", "1-", "01-0", "1-0-0", "+1-0", "transcript"] {
            assert_eq!(wrong.parse::<Incarnation>(), Err(()), "{wrong}");
        }
    }
}
