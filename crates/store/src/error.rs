//! What can go wrong with a disk, as an operator must tell it apart.

use std::{
    error::Error,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

/// The cause of a [`StoreError`].
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why something was not stored, read or deleted. The paths are for the log; a client is told none of them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room is left: make some.
    #[error("no room is left for {}: {source}", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },
    /// This process may not do that: change the owner, the mode or the mount.
    #[error("{} cannot be used with the rights of this process: {source}", path.display())]
    Denied {
        /// What was being used.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },
    /// Another process has this archive open. Two would take each other's unfinished files for remains of a crash.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The archive.
        path: PathBuf,
    },
    /// A file is not what this program writes.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Too much waits for the disk already.
    #[error("too much waits for the disk already; at most {limit} bytes may")]
    Overloaded {
        /// The most that may wait.
        limit: usize,
    },
    /// The disk did not answer in time. What was begun goes on and may still succeed.
    #[error("the disk did not answer within {0:?}")]
    TooSlow(Duration),
    /// Anything else.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being used.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },
}

impl StoreError {
    /// An error of the file system at `path`.
    pub(crate) fn at(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::of_kind(source.kind(), path.into(), source.into())
    }

    /// An error of the object store at `path`. It hides the system's error a few levels down.
    pub(crate) fn of_object(path: &Path, source: object_store::Error) -> Self {
        let mut level: Option<&(dyn Error + 'static)> = Some(&source);
        let mut kind = ErrorKind::Other;
        while let Some(error) = level {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                kind = error.kind();
                break;
            }
            level = error.source();
        }
        Self::of_kind(kind, path.into(), source.into())
    }

    /// A file at `path` that is not the JSON it should be. Says where, and not what stands there: that may be what people
    /// said.
    pub(crate) fn damaged(path: PathBuf, error: &serde_json::Error) -> Self {
        let (category, line, column) = (error.classify(), error.line(), error.column());
        Self::Damaged { path, reason: format!("{category:?} error in line {line}, column {column}") }
    }

    fn of_kind(kind: ErrorKind, path: PathBuf, source: Cause) -> Self {
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full { path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }
}
