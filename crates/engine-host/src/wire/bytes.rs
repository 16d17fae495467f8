//! Numbers, texts, words and errors as bytes. Reading trusts nothing and allocates no more than is there.

use std::time::Duration;

use dalston_engine_sdk::{EngineError, Hypothesis, Word};

use super::{Garbage, MAX_FRAME};

/// Bytes being written.
#[derive(Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).expect("bounded by the engine"));
        self.0.extend_from_slice(value);
    }

    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.u32(u32::try_from(items.len()).expect("bounded by the engine"));
        items.iter().for_each(|item| each(self, item));
    }

    pub fn audio(&mut self, samples: &[i16], want_partial: bool) {
        self.u8(2);
        self.u8(u8::from(want_partial));
        samples.iter().for_each(|sample| self.0.extend_from_slice(&sample.to_le_bytes()));
    }

    pub fn probability(&mut self, value: Option<f32>) {
        // Not a number stands for not known.
        self.0.extend_from_slice(&value.unwrap_or(f32::NAN).to_le_bytes());
    }

    pub fn hypothesis(&mut self, hypothesis: &Hypothesis) {
        self.text(&hypothesis.text);
        self.probability(hypothesis.confidence);
        self.list(&hypothesis.words, |to, word| {
            to.text(&word.text);
            to.f64(word.start);
            to.f64(word.end);
            to.probability(word.confidence);
        });
    }

    pub fn error(&mut self, error: &EngineError) {
        let (kind, first, second, duration) = match error {
            EngineError::Unavailable { what, fix } => (1, what.as_str(), fix.as_str(), Duration::ZERO),
            EngineError::Busy(after) => (2, "", "", *after),
            EngineError::Rejected(why) => (3, why.as_str(), "", Duration::ZERO),
            EngineError::Failed(why) => (4, why.as_str(), "", Duration::ZERO),
            EngineError::Died(why) => (5, why.as_str(), "", Duration::ZERO),
            EngineError::Stalled(after) => (6, "", "", *after),
            other => return self.error(&EngineError::Failed(other.to_string())),
        };
        self.u8(kind);
        self.text(clipped(first));
        self.text(clipped(second));
        self.f64(duration.as_secs_f64());
    }
}

/// An error's text, cut so that a message stays a message.
fn clipped(text: &str) -> &str {
    const MOST: usize = 1000;
    &text[..text.floor_char_boundary(MOST)]
}

/// Bytes being read.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Garbage> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(Garbage)?;
        self.0 = tail;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Garbage> {
        Ok(u8::from_le_bytes(self.take()?))
    }

    pub fn u32(&mut self) -> Result<u32, Garbage> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    pub fn u64(&mut self) -> Result<u64, Garbage> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    pub fn bool(&mut self) -> Result<bool, Garbage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Garbage),
        }
    }

    /// Seconds: a real number, not negative, below a century.
    pub fn seconds(&mut self) -> Result<f64, Garbage> {
        let value = f64::from_le_bytes(self.take()?);
        if (0.0..3e9).contains(&value) { Ok(value) } else { Err(Garbage) }
    }

    pub fn bytes(&mut self, most: usize) -> Result<&'a [u8], Garbage> {
        let length = self.u32()? as usize;
        let (head, tail) = self.0.split_at_checked(length).filter(|_| length <= most).ok_or(Garbage)?;
        self.0 = tail;
        Ok(head)
    }

    pub fn text(&mut self) -> Result<String, Garbage> {
        let bytes = self.bytes(MAX_FRAME)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Garbage)
    }

    /// A list grows only as fast as its items are really there, whatever count it claims.
    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T, Garbage>) -> Result<Vec<T>, Garbage> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(each(self)?);
        }
        Ok(items)
    }

    pub fn samples(&mut self) -> Result<Vec<i16>, Garbage> {
        let (pairs, rest) = std::mem::take(&mut self.0).as_chunks::<2>();
        if !rest.is_empty() {
            return Err(Garbage);
        }
        Ok(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
    }

    pub fn probability(&mut self) -> Result<Option<f32>, Garbage> {
        let value = f32::from_le_bytes(self.take()?);
        match value {
            value if value.is_nan() => Ok(None),
            value if (0.0..=1.0).contains(&value) => Ok(Some(value)),
            _ => Err(Garbage),
        }
    }

    pub fn hypothesis(&mut self) -> Result<Hypothesis, Garbage> {
        let text = self.text()?;
        let confidence = self.probability()?;
        let words = self.list(|from| {
            let text = from.text()?;
            let (start, end) = (from.seconds()?, from.seconds()?);
            let confidence = from.probability()?;
            if end < start { Err(Garbage) } else { Ok(Word { text, start, end, confidence }) }
        })?;
        Ok(Hypothesis { text, words, confidence })
    }

    pub fn error(&mut self) -> Result<EngineError, Garbage> {
        let (kind, first, second) = (self.u8()?, self.text()?, self.text()?);
        let duration = Duration::try_from_secs_f64(self.seconds()?).map_err(|_| Garbage)?;
        Ok(match kind {
            1 => EngineError::Unavailable { what: first, fix: second },
            2 => EngineError::Busy(duration),
            3 => EngineError::Rejected(first),
            4 => EngineError::Failed(first),
            5 => EngineError::Died(first),
            6 => EngineError::Stalled(duration),
            _ => return Err(Garbage),
        })
    }
}
