//! Why a request came to nothing.

use std::time::Duration;

use dalston_egress::EgressError;
use dalston_engine_sdk::{EngineError, batch::TaskError};

/// Why a request came to nothing. The text is for the job's owner: nothing of what the server wrote stands in it but words of
/// its program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing helps but other settings.
    #[error("{problem}: {fix}")]
    Misconfigured {
        /// What the server said.
        problem: String,
        /// What the operator does about it.
        fix: &'static str,
    },
    /// It does not want this audio, or what was asked of it.
    #[error("the remote server refused the request ({0})")]
    Refused(String),
    /// It does not tell times: asked for the text alone, it may answer.
    #[error("the remote server answers only in plain JSON")]
    TextAlone,
    /// It may do better later.
    #[error("{problem}")]
    Passing {
        /// What happened.
        problem: String,
        /// After what time it wants to be asked again.
        after: Option<Duration>,
    },
    /// Its answer is none.
    #[error("the remote server's answer {0}")]
    Nonsense(String),
}

impl CallError {
    pub fn passing(problem: impl Into<String>) -> Self {
        Self::Passing { problem: problem.into(), after: None }
    }
}

impl From<EgressError> for CallError {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::NotPublic => Self::passing("the remote server's name has no address"),
            EgressError::Connect(_) => Self::passing("the remote server takes no connection"),
            EgressError::Idle(_) | EgressError::Timeout(_) => Self::passing("the remote server did not answer in time"),
            EgressError::Broken(_) => Self::passing("the remote server's answer broke off"),
            EgressError::TooLarge { limit } => Self::Nonsense(format!("is longer than {limit} bytes")),
            EgressError::Tls(_) => Self::Misconfigured {
                problem: "no secure connection to the remote server came about".into(),
                fix: "trust its certificate with egress.ca_file, or correct engine.remote.url",
            },
            other => {
                Self::Misconfigured { problem: format!("engine.remote.url {other}"), fix: "correct engine.remote.url" }
            }
        }
    }
}

impl From<CallError> for TaskError {
    fn from(error: CallError) -> Self {
        let code = match error {
            CallError::Misconfigured { .. } => "engine_misconfigured",
            CallError::Refused(_) => "rejected_by_engine",
            CallError::TextAlone | CallError::Passing { .. } | CallError::Nonsense(_) => return Self::failed(error),
        };
        Self::rejected(code, error)
    }
}

impl From<CallError> for EngineError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Misconfigured { problem: what, fix } => Self::Unavailable { what, fix: fix.into() },
            CallError::Refused(_) => Self::Rejected(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}
