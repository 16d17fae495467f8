//! What keeps an attempt from being made and is no fault of the task: it waits for somebody to mend it.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use dalston_store::{StoreError, TaskFailure};

use crate::{inputs::NoInput, outputs::NoOutput, work::Ended};

/// What is written to see whether there is room. A file that failed for want of it would have been larger.
const PROBE: usize = 1 << 20;

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// A disk of the server is full, or its owner may write no more.
    Full,
    /// What keeps the artifacts does not answer.
    Unreachable,
}

impl From<Hindrance> for Ended {
    fn from(hindrance: Hindrance) -> Self {
        let (code, message) = match hindrance {
            Hindrance::Full => ("storage_full", "a disk of the server is full; the task waits for room"),
            Hindrance::Unreachable => {
                ("storage_unreachable", "the server's storage does not answer; the task waits for it")
            }
        };
        Self::Hindered(TaskFailure { code: code.into(), message: message.into(), retryable: true })
    }
}

impl NoInput {
    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Store(error) => of_store(error),
            Self::Folder(error) => of_io(error),
            Self::NotDone { .. } | Self::Damaged { .. } => None,
        }
    }
}

impl NoOutput {
    pub(crate) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Store(error) => of_store(error),
            Self::Io(error) => of_io(error),
            Self::Refused(_) => None,
        }
    }
}

fn of_store(error: &StoreError) -> Option<Hindrance> {
    use StoreError::{Full, NoBucket, Overloaded, TooSlow, Unavailable, Unreachable};
    match error {
        Full { .. } => Some(Hindrance::Full),
        Unreachable { .. } | NoBucket { .. } | Unavailable(_) | TooSlow(_) | Overloaded { .. } => {
            Some(Hindrance::Unreachable)
        }
        _ => None,
    }
}

pub(crate) fn of_io(error: &io::Error) -> Option<Hindrance> {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded).then_some(Hindrance::Full)
}

/// Whether nothing more can be written into this folder, which is about to be removed.
pub(crate) async fn is_full(folder: &Path) -> bool {
    let written = tokio::fs::write(folder.join(".room"), vec![0; PROBE]).await;
    written.is_err_and(|error| of_io(&error).is_some())
}
