//! Finals as they are kept: in order, and bounded.

use std::collections::VecDeque;

use super::MOST_FINALS_BYTES;

/// The newest finals of a session. When there are more than [`MOST_FINALS_BYTES`], the oldest go; one is always kept.
#[derive(Debug, Default)]
pub struct KeptFinals {
    texts: VecDeque<String>,
    bytes: usize,
    dropped: u64,
}

impl KeptFinals {
    /// Those that follow so many that had to go.
    pub fn after(dropped: u64) -> Self {
        Self { dropped, ..Self::default() }
    }

    /// Adds the next one.
    pub fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push_back(text);
        while self.bytes > MOST_FINALS_BYTES && self.texts.len() > 1 {
            self.bytes -= self.texts.pop_front().map_or(0, |text| text.len());
            self.dropped += 1;
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.dropped + self.texts.len() as u64
    }

    /// How many of them had to go.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The others but for the first few.
    pub fn skip(&self, first: usize) -> Vec<String> {
        self.texts.iter().skip(first).cloned().collect()
    }
}
