//! What is kept of a session outside its gateway, so that any gateway can go on with it when its client comes back.
//!
//! The store carries and fences, and knows nothing of what it keeps: texts in, the same texts out. A session's
//! **[epoch](Epoch)** says how often it was taken, and who took it. Only who took it last may write; everybody else is
//! told that it was taken, and lets go. A store that lost its newest writes may give the same number to two: of them the
//! one that it wrote down last has the session.
//!
//! A session costs the same however long it lasts: finals are appended, never written again, and beyond
//! [`MOST_FINALS_BYTES`] its oldest ones go.

mod epoch;
mod finals;
mod in_process;
mod redis;

use std::{fmt, sync::Arc, time::Duration};

use dalston_protocol::SessionId;
use futures_util::future::BoxFuture;
use subtle::ConstantTimeEq;

use crate::Unavailable;

pub use epoch::Epoch;
pub use finals::KeptFinals;
pub use in_process::InProcessResumeStore;
pub use redis::RedisResumeStore;

/// Bytes of finals that are kept of one session, twice of what its last message can hold. Beyond it the oldest go:
/// the client has had them long since, and its last message has no room for them.
pub const MOST_FINALS_BYTES: usize = 2 * 1024 * 1024;

/// Where sessions are kept for when their clients come back. `conformance::resume` holds every implementation to this
/// contract.
///
/// Each operation is one atomic step and ends within a bound of its own. Dropping its future leaves it either done or
/// not done.
pub trait ResumeStore: fmt::Debug + Send + Sync + 'static {
    /// Whether what is kept here outlives this process, so that another one can go on with it.
    fn outlives_process(&self) -> bool;

    /// Writes down how far a session has come, and keeps it for `ttl` from now on.
    fn save(&self, save: Save) -> BoxFuture<'_, Result<Saved, Unavailable>>;

    /// What a session looks like to who may take it, and stays with whoever has it: for what a client says to be
    /// checked before it costs anybody their session. `None` as in [`take`](Self::take).
    fn look<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Look>, Unavailable>>;

    /// Takes a session over, from whoever has it: a new epoch begins, and it is kept for `ttl` from now on. `None`
    /// when there is no such session, the secret is another one, or it is another tenant's: nobody learns which.
    fn take<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> BoxFuture<'a, Result<Option<Taken>, Unavailable>>;

    /// Forgets a session that has ended, unless it was taken over. For `ttl`, whoever had it before is still told
    /// that it was taken.
    fn forget<'a>(
        &'a self,
        session: &'a SessionId,
        epoch: Epoch,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), Unavailable>>;
}

/// One step of a session.
#[derive(Debug, Clone)]
pub struct Save {
    /// Whose.
    pub session: SessionId,
    /// As it was taken; [`Epoch::first`] for one that has just begun.
    pub epoch: Epoch,
    /// Finals that are there already, or were and had to go.
    pub after: u64,
    /// Set when nothing is there yet, or the store says that it forgot: `finals` are then all that there are.
    pub whole: Option<Whole>,
    /// What changes; `None` when it has not.
    pub state: Option<String>,
    /// The next finals, in order.
    pub finals: Vec<String>,
    /// How long it is kept unless it is saved again.
    pub ttl: Duration,
}

/// What never changes of a session.
#[derive(Debug, Clone)]
pub struct Whole {
    /// What its client proves itself with.
    pub secret: SecretHash,
    /// Whose session it is.
    pub tenant: Arc<str>,
    /// How it began.
    pub begun: String,
}

/// What became of a [`Save`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// It is safe.
    Kept,
    /// Another gateway has the session. Nothing was written.
    TakenOver,
    /// What was there before is not, so nothing was written. To be saved whole.
    Forgotten,
    /// There are too many sessions. Nothing was written.
    Full,
}

/// Who wants a session.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which.
    pub session: SessionId,
    /// The proof.
    pub secret: SecretHash,
    /// Who it is.
    pub tenant: Arc<str>,
}

/// A session as the last gateway left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To be saved with from now on.
    pub epoch: Epoch,
    /// How it began.
    pub begun: String,
    /// The last state.
    pub state: String,
    /// Finals that had to go.
    pub dropped: u64,
    /// The others, in order.
    pub finals: Vec<String>,
}

/// A session as it stands, without its finals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// How it began.
    pub begun: String,
    /// The last state.
    pub state: String,
}

/// The hash of a secret. The secret itself is kept by the client alone.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

impl PartialEq for SecretHash {
    /// In a time that tells nothing of either.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(hidden)")
    }
}
