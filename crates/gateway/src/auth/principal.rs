//! The caller, once known.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use dalston_protocol::{ApiError, ErrorCode};
use serde::{Deserialize, Serialize};

use super::token::Hash;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Open live sessions, make tokens for them, see their traces.
    Realtime,
    /// Upload files, and do everything with the jobs made of them; see their traces.
    Batch,
    /// See what runs: workers, models, status, metrics.
    Read,
    /// Everything, also what concerns others.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::Realtime, Self::Batch, Self::Read, Self::Admin];

    /// The scope as it stands in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Batch => "batch",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A caller with what it may do. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    holder: Arc<Holder>,
    scopes: u8,
    /// The token with which it came and which its session will use up.
    ticket: Option<Hash>,
}

/// What all uses of one key share.
#[derive(Debug)]
struct Holder {
    tenant: Arc<str>,
    max_sessions: Option<usize>,
    open_sessions: AtomicUsize,
}

impl Principal {
    pub(crate) fn new(tenant: &str, scopes: &[Scope], max_sessions: Option<usize>) -> Self {
        let holder = Holder { tenant: tenant.into(), max_sessions, open_sessions: AtomicUsize::new(0) };
        let scopes = scopes.iter().fold(0, |bits, scope| bits | scope.bit());
        Self { holder: Arc::new(holder), scopes, ticket: None }
    }

    /// The id of the key, or `anonymous`.
    pub(crate) fn tenant(&self) -> Arc<str> {
        self.holder.tenant.clone()
    }

    /// The same caller with no more than `scope`.
    pub(crate) fn restricted_to(&self, scope: Scope) -> Self {
        Self { scopes: scope.bit(), ..self.clone() }
    }

    /// The same caller, who came with this token.
    pub(super) fn with_ticket(&self, ticket: Hash) -> Self {
        Self { ticket: Some(ticket), ..self.clone() }
    }

    pub(super) fn ticket(&self) -> Option<&Hash> {
        self.ticket.as_ref()
    }

    /// # Errors
    /// [`ErrorCode::InsufficientScope`], naming the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes & (scope.bit() | Scope::Admin.bit()) != 0 {
            return Ok(());
        }
        let message = format!("this needs a key with the scope `{}`", scope.as_str());
        Err(ApiError::new(ErrorCode::InsufficientScope, message))
    }

    /// A place among the sessions that this caller may have open at once.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] when all are taken.
    pub(crate) fn begin_session(&self) -> Result<SessionSeat, ApiError> {
        let limit = self.holder.max_sessions.unwrap_or(usize::MAX);
        let take = |open: usize| (open < limit).then_some(open + 1);
        match self.holder.open_sessions.try_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(SessionSeat(self.holder.clone())),
            Err(open) => Err(ApiError::new(
                ErrorCode::RateLimited,
                format!("{open} sessions are open with this key, which is its limit; end one first"),
            )),
        }
    }
}

/// Held while a session is open.
#[derive(Debug)]
pub struct SessionSeat(Arc<Holder>);

impl Drop for SessionSeat {
    fn drop(&mut self) {
        self.0.open_sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_comes_back_when_its_session_ends() {
        let principal = Principal::new("key", &[Scope::Realtime], Some(2));
        let first = principal.begin_session().unwrap();
        let _second = principal.restricted_to(Scope::Realtime).begin_session().unwrap();
        assert_eq!(principal.begin_session().unwrap_err().code, ErrorCode::RateLimited);
        drop(first);
        assert!(principal.begin_session().is_ok());
    }

    #[test]
    fn admin_may_do_everything() {
        let principal = Principal::new("key", &[Scope::Admin], None);
        assert!(Scope::ALL.into_iter().all(|scope| principal.require(scope).is_ok()));
        assert!(Principal::new("key", &[], None).require(Scope::Read).is_err());
    }
}
