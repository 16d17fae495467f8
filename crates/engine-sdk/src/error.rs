//! Why an engine could not do what it was asked.

use std::time::Duration;

/// An engine's failure. The text is for operators and clients alike: it never contains audio or words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A library, model file or program that the engine needs is not there. `fix` says how to get it.
    #[error("{what} is not available: {fix}")]
    Unavailable {
        /// What is missing.
        what: String,
        /// What the operator does about it.
        fix: String,
    },
    /// No stream became free in time.
    #[error("no free stream within {0:?}")]
    Busy(Duration),
    /// The engine said no to this input or these options.
    #[error("engine rejected its input: {0}")]
    Rejected(String),
    /// The engine failed on this utterance; the next one may work.
    #[error("engine failed: {0}")]
    Failed(String),
    /// The engine's process died, and starting the utterance again did not help.
    #[error("engine process died: {0}")]
    Died(String),
    /// The engine gave no answer in time.
    #[error("engine gave no answer within {0:?}")]
    Stalled(Duration),
}
