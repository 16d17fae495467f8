//! Whether workers fit one wish, asked once per kind of worker rather than once per worker.

use std::{collections::BTreeSet, rc::Rc, sync::Arc};

use dalston_engine_sdk::{Capabilities, Languages};

use super::ReserveError;
use crate::{Fit, Misfit, Wanted};

/// The answers to one wish. Workers that share their engines' records share the answer.
pub(super) struct Kinds<'a> {
    wanted: &'a Wanted,
    answers: Vec<(&'a Arc<[Capabilities]>, Answer)>,
}

/// Counted, because one kind's answer is given for each of its workers.
type Answer = Result<Rc<Fit>, Misfit>;

impl<'a> Kinds<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Self { wanted, answers: Vec::new() }
    }

    pub(super) fn fit(&mut self, engines: &'a Arc<[Capabilities]>) -> Answer {
        if let Some((_, answer)) = self.answers.iter().find(|(known, _)| Arc::ptr_eq(known, engines)) {
            return answer.clone();
        }
        let answer = self.wanted.fit(engines).map(Rc::new);
        self.answers.push((engines, answer.clone()));
        answer
    }

    /// The error when no kind fits: the model is to blame only if no kind has it.
    pub(super) fn misfit(&self) -> ReserveError {
        let engines = || self.answers.iter().flat_map(|(engines, _)| engines.iter());
        if self.answers.iter().any(|(_, answer)| *answer == Err(Misfit::Language)) {
            let languages = engines().filter(|engine| self.wanted.names(engine)).flat_map(codes);
            ReserveError::NoSuchLanguage { available: sorted(languages) }
        } else {
            let names = engines().flat_map(|engine| [engine.engine_id.clone(), engine.model.clone()]);
            ReserveError::NoSuchModel { available: sorted(names) }
        }
    }
}

fn codes(engine: &Capabilities) -> Vec<String> {
    match &engine.languages {
        Languages::Only(codes) => codes.clone(),
        Languages::Any(_) => Vec::new(),
    }
}

fn sorted(words: impl Iterator<Item = String>) -> Vec<String> {
    words.collect::<BTreeSet<_>>().into_iter().collect()
}
