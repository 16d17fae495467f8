//! What may be wrong with a session, as the claims that a run checks.

use serde::Serialize;

/// A kind of fault; each breaks one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// It was not opened, or not begun.
    Opening,
    /// A warning came.
    Warning,
    /// An error came.
    Error,
    /// A message is not of the protocol, or does not belong where it came.
    Message,
    /// Finals overlap or go back in time, or a final changed.
    Order,
    /// Another final than expected, or one is missing.
    Words,
    /// The server heard less or more audio than was sent.
    Audio,
    /// The transcript in `session.end` is not that of the finals.
    Transcript,
    /// It ended in another way than `session.end` and 1000.
    Ending,
    /// A job was not accepted, or has no transcript in the end.
    Job,
}

impl Fault {
    /// Every kind that a session can have.
    pub const ALL: [Self; 9] = [
        Self::Opening,
        Self::Warning,
        Self::Error,
        Self::Message,
        Self::Order,
        Self::Words,
        Self::Audio,
        Self::Transcript,
        Self::Ending,
    ];

    /// What holds when it never happens.
    #[must_use]
    pub const fn claim(self) -> &'static str {
        match self {
            Self::Opening => "every session was opened",
            Self::Warning => "no warning came",
            Self::Error => "no error came",
            Self::Message => "every message is one of the protocol, in its place",
            Self::Order => "finals came in order and never changed",
            Self::Words => "every final is the expected one, and none is missing",
            Self::Audio => "all audio that was sent was heard",
            Self::Transcript => "the transcript at the end is that of the finals",
            Self::Ending => "every session ended with session.end, then 1000",
            Self::Job => "every job was accepted and completed",
        }
    }
}

/// Faults of one kind: how many, and the first few in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Faults {
    /// A server that fails fails thousandfold; a few examples say it.
    const EXAMPLES: usize = 3;

    /// Counts one more.
    pub fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(example());
        }
    }
}
