//! What may stand in an attribute: numbers, words of the program, and ids. Never what a person said.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::{StringValue, Value};

/// Longest label; ids, routes and model names are far shorter.
const MAX_LABEL: usize = 96;

/// A short machine-made string: an id, a route, a model's name.
///
/// Only `A–Z a–z 0–9 . _ - : / { } @ +` pass, at most 96 of them; anything else becomes `(redacted)` as a whole. Spoken text has
/// spaces, so it cannot enter a span by this door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(Arc<str>);

impl Label {
    /// Checks `text` against the rule above.
    pub fn new(text: &str) -> Self {
        let fits = text.len() <= MAX_LABEL && text.bytes().all(is_label_byte);
        Self(Arc::from(if fits { text } else { "(redacted)" }))
    }

    /// The label as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-:/{}@+".contains(&byte)
}

/// A value an attribute may have. The only way in for a string that is not part of the program is [`Label`].
#[derive(Clone, Debug)]
pub struct AttrValue(pub(crate) Value);

impl From<Label> for AttrValue {
    fn from(label: Label) -> Self {
        Self(Value::String(StringValue::from(label.0)))
    }
}

impl From<&Label> for AttrValue {
    fn from(label: &Label) -> Self {
        label.clone().into()
    }
}

impl From<&'static str> for AttrValue {
    fn from(word: &'static str) -> Self {
        Self(Value::from(word))
    }
}

impl From<bool> for AttrValue {
    fn from(value: bool) -> Self {
        Self(Value::Bool(value))
    }
}

impl From<i64> for AttrValue {
    fn from(value: i64) -> Self {
        Self(Value::I64(value))
    }
}

impl From<u64> for AttrValue {
    fn from(value: u64) -> Self {
        Self(Value::I64(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<usize> for AttrValue {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<u32> for AttrValue {
    fn from(value: u32) -> Self {
        Self(Value::I64(i64::from(value)))
    }
}

impl From<u16> for AttrValue {
    fn from(value: u16) -> Self {
        Self(Value::I64(i64::from(value)))
    }
}

impl From<u8> for AttrValue {
    fn from(value: u8) -> Self {
        Self(Value::I64(i64::from(value)))
    }
}

impl From<f64> for AttrValue {
    fn from(value: f64) -> Self {
        Self(Value::F64(value))
    }
}

/// Durations are seconds, as in every metric.
impl From<Duration> for AttrValue {
    fn from(value: Duration) -> Self {
        Self(Value::F64(value.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_routes_pass() {
        for text in ["ses_01JX", "/v1/traces/{trace_id}", "pocketsphinx:en-us@5", ""] {
            assert_eq!(Label::new(text).as_str(), text);
        }
    }

    #[test]
    fn spoken_text_and_long_text_are_redacted_whole() {
        for text in ["go forward ten meters", "line\nbreak", "ärger", &"x".repeat(97)] {
            assert_eq!(Label::new(text).as_str(), "(redacted)");
        }
    }
}
