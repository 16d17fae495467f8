//! What is wrong with a configuration, each with the key as the user wrote it.

use std::fmt;

use super::{layers::Given, table::Setting};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// As the user wrote it.
    place: String,
    message: String,
    /// The setting that could not be read, if it is one.
    unread: Option<&'static str>,
}

/// Everything that is wrong. Nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{}", shown(.0))]
pub struct ConfigError(pub Vec<Problem>);

impl Problem {
    /// Something wrong at a place that the user can find: a key, a variable, a flag or a file.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), unread: None }
    }

    /// A value that cannot be read. A secret one is not repeated.
    pub fn unreadable(setting: &Setting, given: &Given) -> Self {
        let place = given.source.place(setting.key, if (setting.is_secret)() { "(hidden)" } else { &given.text });
        let message = format!("expected {}", (setting.expected)());
        Self { place, message, unread: Some(setting.key) }
    }

    /// Whether a setting below this prefix could not be read, so that nothing can be said about what depends on it.
    pub fn is_unread(&self, prefix: &str) -> bool {
        self.unread.is_some_and(|key| key.starts_with(prefix))
    }

    /// A key that means nothing, with the known one that is most like it.
    pub fn unknown(place: impl Into<String>, what: &str, given: &str, known: impl IntoIterator<Item = String>) -> Self {
        let message = match nearest(given, known) {
            Some(near) => format!("no such {what}; did you mean {near}?"),
            None => format!("no such {what}; docs/configuration.md lists them all"),
        };
        Self::new(place, message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

fn shown(problems: &[Problem]) -> String {
    let count = match problems.len() {
        1 => "one problem".to_owned(),
        many => format!("{many} problems"),
    };
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    format!("the configuration has {count}:{}", lines.concat())
}

/// The known name that a typing error most likely meant.
fn nearest(given: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    /// Below this, two names have little in common (Jaro-Winkler; 1 is equal).
    const ALIKE: f64 = 0.85;
    let given = given.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&given, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_told_what_was_meant_and_nonsense_is_not() {
        let known = || ["DALSTON_BIND", "DALSTON_MAX_SESSIONS"].map(String::from);
        assert_eq!(nearest("DALSTON_MAX_SESION", known()).as_deref(), Some("DALSTON_MAX_SESSIONS"));
        assert_eq!(nearest("bnid", ["bind".to_owned()]).as_deref(), Some("bind"));
        assert_eq!(nearest("zzz", ["bind".to_owned()]), None);
    }
}
