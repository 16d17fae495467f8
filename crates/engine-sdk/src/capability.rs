//! What an engine can do, as the API and the session router see it.

use serde::{Deserialize, Serialize};

/// The capability record of one engine. Served as it stands by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Stable id, e.g. `pocketsphinx`. What `model=` selects.
    pub engine_id: String,
    /// The model it runs, e.g. `en-us`.
    pub model: String,
    /// Version of the engine's library or model, for the transcript's record.
    pub version: String,
    /// Languages it recognises.
    pub languages: Languages,
    /// Gives hypotheses before the utterance ends.
    pub partials: bool,
    /// Gives start and end of each word.
    pub word_timestamps: bool,
    /// Gives a confidence with each word.
    pub confidence: bool,
    /// Takes `vocabulary` hints.
    pub vocabulary: bool,
    /// Writes punctuation and case of its own.
    pub punctuation: bool,
    /// Gives times to the words of a text that it is told, with [`StreamOptions::text`](crate::StreamOptions::text).
    #[serde(default)]
    pub alignment: bool,
    /// Writes in English what was said in another language.
    #[serde(default)]
    pub translation: bool,
    /// Streams that can decode at once; `None` when nothing but memory limits them.
    pub max_streams: Option<usize>,
}

impl Capabilities {
    /// The name that a transcript and `session.begin` show: `engine/model`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.engine_id, self.model)
    }

    /// Whether `model=` means this engine: its id, its model, or both as `engine/model`. No model at all means any.
    pub fn answers_to(&self, model: Option<&str>) -> bool {
        model.is_none_or(|name| name == self.engine_id || name == self.model || name == self.full_name())
    }
}

/// The languages of an engine, as BCP 47 codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Languages {
    /// Exactly these. The first is what `auto` means.
    Only(Vec<String>),
    /// Any language at all, and `auto` is left to the engine.
    Any(AnyLanguage),
}

/// Serialises as the string `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyLanguage {
    /// The one value.
    Any,
}

impl Languages {
    /// Every language.
    pub const fn any() -> Self {
        Self::Any(AnyLanguage::Any)
    }

    /// What a session that asks for `wanted` gets, or `None` if this engine cannot serve it.
    ///
    /// `auto` takes the first language. A region is optional on either side: `en` is served by `en-US` and the other way
    /// round, `en-GB` is not served by `en-US` alone.
    pub fn resolve(&self, wanted: &str) -> Option<String> {
        match self {
            Self::Any(_) => Some(wanted.to_owned()),
            Self::Only(codes) if wanted.eq_ignore_ascii_case("auto") => codes.first().cloned(),
            Self::Only(codes) => codes.iter().find(|code| matches(code, wanted)).cloned(),
        }
    }
}

fn matches(code: &str, wanted: &str) -> bool {
    let base = |c: &str| c.split(['-', '_']).next().unwrap_or(c).to_ascii_lowercase();
    let has_region = |c: &str| c.contains(['-', '_']);
    let same = code.replace('_', "-").eq_ignore_ascii_case(&wanted.replace('_', "-"));
    same || (base(code) == base(wanted) && !(has_region(code) && has_region(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_optional_on_either_side() {
        let check = |have: &str, wanted: &str, expected: Option<&str>| {
            let resolved = Languages::Only(vec![have.into()]).resolve(wanted);
            assert_eq!(resolved.as_deref(), expected, "{have} asked for {wanted}");
        };
        check("en", "en", Some("en"));
        check("en", "EN", Some("en"));
        check("en", "en-GB", Some("en"));
        check("en-US", "en", Some("en-US"));
        check("en-US", "en_us", Some("en-US"));
        check("en-US", "en-GB", None);
        check("en", "de", None);
        check("en", "auto", Some("en"));
        assert_eq!(Languages::any().resolve("de").as_deref(), Some("de"));
    }
}
