//! What can go wrong with a disk or a database, as an operator must tell it apart.

use std::{
    error::Error,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use dalston_protocol::{
    JobId, TaskId,
    job::{JobStatus, TaskStatus},
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
    /// The URL names no database that is known here. It is not shown: it may hold a password.
    #[error("a database is given as sqlite:PATH or as postgres://USER@HOST/NAME")]
    UnknownDatabase,
    /// The tables cannot be brought up to date.
    #[error("the tables of the database cannot be brought up to date: {0}")]
    Migration(#[source] Cause),
    /// The database does not answer, or not in time. Trying again may help.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] Cause),
    /// The database refuses.
    #[error("the database refuses: {0}")]
    Database(#[source] Cause),
    /// A row is not what this program writes.
    #[error("{column} of {id} is damaged: {reason}")]
    DamagedRow {
        /// The job or task.
        id: String,
        /// Its column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No page gave this cursor.
    #[error("the cursor is none that a page gave")]
    InvalidCursor,
    /// A status that may not follow the one before. The planner is at fault.
    #[error("{id} is {from} and cannot become {to}")]
    Transition {
        /// The job or task.
        id: String,
        /// Where it stands.
        from: &'static str,
        /// Where it may not go.
        to: &'static str,
    },
    /// A task that is not of that job. The planner is at fault.
    #[error("{job} has no {task}")]
    NoSuchTask {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// More tasks than a job may have.
    #[error("a job has at most {limit} tasks")]
    TooManyTasks {
        /// The most.
        limit: i64,
    },
    /// The artifact is not there.
    #[error("there is no artifact {key}")]
    NoArtifact {
        /// Its key.
        key: String,
    },
    /// No artifact can have this key.
    #[error(
        "`{key}` cannot be the key of an artifact: names parted by `/`, each of letters, digits, `.`, `-` or `_`, and not `.` or `..`"
    )]
    InvalidKey {
        /// The key.
        key: String,
    },
    /// More bytes than allowed.
    #[error("{key} is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// The artifact.
        key: String,
        /// The most.
        limit: u64,
    },
    /// No place for artifacts is meant by this, or the variables that tell how to reach it are odd. Neither is shown: they may
    /// hold a password.
    #[error("artifacts.url (DALSTON_ARTIFACTS_URL) cannot be used: {reason}")]
    InvalidLocation {
        /// What is wrong with it.
        reason: String,
    },
    /// The server knows no such bucket.
    #[error("there is no bucket for {}: make it, or mend artifacts.url (DALSTON_ARTIFACTS_URL) or AWS_ENDPOINT_URL", path.display())]
    NoBucket {
        /// What was being used.
        path: PathBuf,
    },
    /// The bucket's server does not answer, or not in time. Trying again may help.
    #[error("{} cannot be reached: {source}", path.display())]
    Unreachable {
        /// What was being used.
        path: PathBuf,
        /// What happened.
        source: Cause,
    },
    /// The session is on this machine's disk and will be moved to where it can be found.
    #[error("the session waits in the spool: {0}")]
    Postponed(#[source] Box<StoreError>),
    /// Anything else.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was being used.
        path: PathBuf,
        /// What the system said.
        source: Cause,
    },
}

/// A status, or what else one might want to become.
pub(crate) struct Word(&'static str);

impl From<JobStatus> for Word {
    fn from(status: JobStatus) -> Self {
        Self(status.as_str())
    }
}

impl From<TaskStatus> for Word {
    fn from(status: TaskStatus) -> Self {
        Self(status.as_str())
    }
}

impl From<&'static str> for Word {
    fn from(word: &'static str) -> Self {
        Self(word)
    }
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

    pub(crate) fn transition(id: &impl ToString, from: impl Into<Word>, to: impl Into<Word>) -> Self {
        Self::Transition { id: id.to_string(), from: from.into().0, to: to.into().0 }
    }

    fn of_database(trouble: Trouble, source: Cause) -> Self {
        match trouble {
            Trouble::Full => Self::Full { path: "the database".into(), source },
            Trouble::Denied => Self::Denied { path: "the database".into(), source },
            Trouble::Unavailable => Self::Unavailable(source),
            Trouble::Other => Self::Database(source),
        }
    }

    fn of_kind(kind: ErrorKind, path: PathBuf, source: Cause) -> Self {
        match kind {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Self::Full { path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
        let trouble = match &error {
            Database(said) => Trouble::of(said.code().as_deref().unwrap_or_default()),
            Io(_) | PoolTimedOut | PoolClosed | WorkerCrashed | Protocol(_) => Trouble::Unavailable,
            _ => Trouble::Other,
        };
        Self::of_database(trouble, error.into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code.to_string());
        Self::of_database(Trouble::of(code.as_deref().unwrap_or_default()), error.into())
    }
}

/// What an operator can do something about.
#[derive(Clone, Copy)]
enum Trouble {
    Full,
    Denied,
    Unavailable,
    Other,
}

impl Trouble {
    /// By the code of SQLite, a number whose lowest byte tells the kind, or by that of PostgreSQL, five characters.
    fn of(code: &str) -> Self {
        let sqlite = (code.len() < 5).then(|| code.parse::<u32>().ok()).flatten().map(|code| code & 0xff);
        match (sqlite, code) {
            // SQLITE_FULL; disk_full.
            (Some(13), _) | (_, "53100") => Self::Full,
            // SQLITE_PERM, SQLITE_READONLY; insufficient_privilege.
            (Some(3 | 8), _) | (_, "42501") => Self::Denied,
            // SQLITE_BUSY, which only another process causes.
            (Some(5), _) => Self::Unavailable,
            // Connections, resources, shutdown; and two transactions that waited for each other, one of which was ended.
            (None, code) if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => Self::Unavailable,
            (None, "40P01" | "40001") => Self::Unavailable,
            _ => Self::Other,
        }
    }
}
