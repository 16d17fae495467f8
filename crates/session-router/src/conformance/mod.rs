//! The suites that every implementation of this crate's seams must pass.
//!
//! Each claim is one function, and a macro makes one test of each, so that a failure says which promise broke:
//! [`registry_conformance!`](crate::registry_conformance), [`resume_conformance!`](crate::resume_conformance) and
//! [`worker_link_conformance!`](crate::worker_link_conformance).

pub mod link;
pub mod registry;
pub mod resume;

use dalston_engine_sdk::{Capabilities, Languages};
use dalston_protocol::WorkerId;

use crate::{Address, WorkerRecord};

/// A worker with `capacity` slots and these engines.
pub fn worker(capacity: usize, engines: Vec<Capabilities>) -> WorkerRecord {
    WorkerRecord { worker_id: WorkerId::generate(), address: Address::InProcess, capacity, engines }
}

/// An engine with these languages; none means any.
pub fn engine(id: &str, model: &str, languages: &[&str]) -> Capabilities {
    let languages = match languages {
        [] => Languages::any(),
        codes => Languages::Only(codes.iter().map(|code| (*code).to_owned()).collect()),
    };
    Capabilities {
        engine_id: id.into(),
        model: model.into(),
        version: "1".into(),
        languages,
        partials: true,
        word_timestamps: true,
        confidence: true,
        vocabulary: false,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    }
}
