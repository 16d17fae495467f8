//! What a session asks of a worker, and which of a worker's engines gives it.

use dalston_engine_sdk::{Capabilities, Languages};
use dalston_protocol::realtime::SessionConfig;

/// What a session asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// BCP 47 code, or `auto`.
    pub language: String,
    /// Engine id, model name, or both as `id/model`; `None` takes any that has the language.
    pub model: Option<String>,
}

/// The engine that serves a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Its id.
    pub engine_id: String,
    /// The engine's own code for the language; `auto` only if the engine finds out by itself.
    pub language: String,
}

/// Why none of a worker's engines serves a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// No engine is called that.
    Model,
    /// An engine is called that, but lacks the language.
    Language,
}

impl Wanted {
    /// The first engine that is called as asked and has the language.
    ///
    /// The one rule for all: the registry filters workers by it, and a worker with several engines picks one by it.
    ///
    /// # Errors
    /// Says which of the two wishes cannot be met.
    pub fn fit(&self, engines: &[Capabilities]) -> Result<Fit, Misfit> {
        let mut misfit = Misfit::Model;
        for engine in engines.iter().filter(|engine| self.names(engine)) {
            match resolve(&engine.languages, &self.language) {
                Some(language) => return Ok(Fit { engine_id: engine.engine_id.clone(), language }),
                None => misfit = Misfit::Language,
            }
        }
        Err(misfit)
    }

    /// Whether the engine is one that `model` means: by its id, by its model, or by `id/model` as `session.begin` says it.
    pub(crate) fn names(&self, engine: &Capabilities) -> bool {
        self.model.as_deref().is_none_or(|name| {
            let both = name.split_once('/').is_some_and(|(id, model)| id == engine.engine_id && model == engine.model);
            both || name == engine.engine_id || name == engine.model
        })
    }
}

impl From<&SessionConfig> for Wanted {
    fn from(config: &SessionConfig) -> Self {
        Self { language: config.language.clone(), model: config.model.clone() }
    }
}

/// [`Languages::resolve`], with the common case of the exact code found without its normalising.
fn resolve(languages: &Languages, wanted: &str) -> Option<String> {
    match languages {
        Languages::Only(codes) if codes.iter().any(|code| code == wanted) => Some(wanted.to_owned()),
        _ => languages.resolve(wanted),
    }
}
