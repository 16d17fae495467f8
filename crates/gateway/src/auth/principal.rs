//! The caller, once known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dalston_protocol::{
    ApiError, ErrorCode,
    key::{KeyLimits, Scope},
};
use dalston_store::KeyRecord;
use tokio::time::Instant;

use super::{
    allowance::{Allowance, Rate, Seat},
    token::Hash,
};

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
    expires_at: Option<SystemTime>,
    revoked: AtomicBool,
    /// Seconds since 1970; 0 is never.
    used_at: AtomicU64,
    noted_at: AtomicU64,
    max_jobs: Option<u32>,
    rate: Option<Rate>,
    sessions: Arc<Allowance>,
    uploads: Arc<Allowance>,
}

const fn bit(scope: Scope) -> u8 {
    1 << scope as u8
}

impl Principal {
    /// Who is let in where nobody is asked for a key.
    pub(super) fn anonymous(limits: KeyLimits) -> Self {
        Self::new("anonymous", &Scope::ALL, limits, None)
    }

    /// The holder of a key. What the key does not say of its limits, `limits` does.
    pub(super) fn of_key(key: &KeyRecord, limits: KeyLimits) -> Self {
        Self::new(&key.tenant, &key.scopes, key.limits.or(limits), key.expires_at)
    }

    pub(super) fn new(tenant: &str, scopes: &[Scope], limits: KeyLimits, expires_at: Option<SystemTime>) -> Self {
        let holder = Holder {
            tenant: tenant.into(),
            expires_at,
            revoked: AtomicBool::new(false),
            used_at: AtomicU64::new(0),
            noted_at: AtomicU64::new(0),
            max_jobs: limits.max_jobs,
            rate: limits.requests_per_second.map(Rate::new),
            sessions: Allowance::new(limits.max_sessions),
            uploads: Allowance::new(limits.max_uploads),
        };
        let scopes = scopes.iter().fold(0, |bits, scope| bits | bit(*scope));
        Self { holder: Arc::new(holder), scopes, ticket: None }
    }

    /// Whose jobs, sessions and webhooks it sees: the tenant of its key, or `anonymous`.
    pub(crate) fn tenant(&self) -> Arc<str> {
        self.holder.tenant.clone()
    }

    /// Whether it came with the same key, or with a token of it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.holder, &other.holder)
    }

    /// The same caller with no more than `scope`.
    pub(crate) fn restricted_to(&self, scope: Scope) -> Self {
        Self { scopes: bit(scope), ..self.clone() }
    }

    /// The same caller, who came with this token.
    pub(super) fn with_ticket(&self, ticket: Hash) -> Self {
        Self { ticket: Some(ticket), ..self.clone() }
    }

    pub(super) fn ticket(&self) -> Option<&Hash> {
        self.ticket.as_ref()
    }

    /// Whether its key lets it in: it was not taken back and has not expired.
    pub(super) fn is_good_now(&self) -> bool {
        !self.holder.revoked.load(Relaxed) && self.holder.expires_at.is_none_or(|end| SystemTime::now() < end)
    }

    /// Its key was taken back.
    pub(super) fn revoke(&self) {
        self.holder.revoked.store(true, Relaxed);
    }

    /// Remembers that it called just now.
    pub(super) fn is_used(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Hardly ever true: a line that all cores write to is slow.
        if self.holder.used_at.load(Relaxed) != now {
            self.holder.used_at.store(now, Relaxed);
        }
    }

    /// When it last called, if that was not noted yet.
    pub(super) fn unnoted_use(&self) -> Option<SystemTime> {
        let used_at = self.holder.used_at.load(Relaxed);
        (used_at > self.holder.noted_at.load(Relaxed)).then(|| UNIX_EPOCH + Duration::from_secs(used_at))
    }

    pub(super) fn use_is_noted(&self, at: SystemTime) {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.holder.noted_at.fetch_max(at, Relaxed);
    }

    /// # Errors
    /// [`ErrorCode::InsufficientScope`], naming the scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.scopes & (bit(scope) | bit(Scope::Admin)) != 0 {
            return Ok(());
        }
        let message = format!("this needs a key with the scope `{scope}`");
        Err(ApiError::new(ErrorCode::InsufficientScope, message))
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] when there are too many a second.
    pub(super) fn count_request(&self) -> Result<(), ApiError> {
        let Some(rate) = &self.holder.rate else { return Ok(()) };
        rate.take(Instant::now()).map_err(|wait| {
            let message = format!("this key may send {rate} requests a second (requests_per_second)");
            ApiError::new(ErrorCode::RateLimited, message).retry_after(wait.as_secs_f64())
        })
    }

    /// A place among the sessions that this caller may have open at once.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] when all are taken.
    pub(crate) fn begin_session(&self) -> Result<Seat, ApiError> {
        self.holder.sessions.take().map_err(|open| {
            let message =
                format!("{open} sessions are open with this key, which is its limit (max_sessions); end one first");
            ApiError::new(ErrorCode::RateLimited, message).retry_after(1.0)
        })
    }

    /// A place among the uploads that this caller may have under way at once.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] when all are taken.
    pub(crate) fn begin_upload(&self) -> Result<Seat, ApiError> {
        self.holder.uploads.take().map_err(|open| {
            let message = format!("{open} files are being uploaded with this key, which is its limit (max_uploads)");
            ApiError::new(ErrorCode::RateLimited, message).retry_after(1.0)
        })
    }

    /// Uploads under way, each of which may become a job.
    pub(crate) fn uploads(&self) -> u32 {
        self.holder.uploads.taken()
    }

    /// Jobs that its tenant may have open at once, if there is a limit.
    pub(crate) fn max_jobs(&self) -> Option<u32> {
        self.holder.max_jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope], limits: KeyLimits) -> Principal {
        Principal::new("key", scopes, limits, None)
    }

    #[test]
    fn a_seat_comes_back_when_its_session_ends() {
        let principal = key(&[Scope::Realtime], KeyLimits { max_sessions: Some(2), ..KeyLimits::default() });
        let first = principal.begin_session().unwrap();
        let _second = principal.restricted_to(Scope::Realtime).begin_session().unwrap();
        assert_eq!(principal.begin_session().unwrap_err().code, ErrorCode::RateLimited);
        assert!(principal.begin_upload().is_ok(), "another limit");
        drop(first);
        assert!(principal.begin_session().is_ok());
    }

    #[test]
    fn admin_may_do_everything() {
        let principal = key(&[Scope::Admin], KeyLimits::default());
        assert!(Scope::ALL.into_iter().all(|scope| principal.require(scope).is_ok()));
        assert!(key(&[], KeyLimits::default()).require(Scope::Read).is_err());
    }

    #[test]
    fn a_key_is_good_until_it_expires_or_is_taken_back() {
        let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
        let until = |end| Principal::new("key", &[], KeyLimits::default(), Some(end));
        assert!(until(now + hour).is_good_now());
        assert!(!until(now - hour).is_good_now());
        let principal = until(now + hour);
        principal.revoke();
        assert!(!principal.is_good_now());
    }

    #[test]
    fn a_use_is_noted_once() {
        let principal = key(&[], KeyLimits::default());
        assert_eq!(principal.unnoted_use(), None);
        principal.is_used();
        let at = principal.unnoted_use().unwrap();
        principal.use_is_noted(at);
        assert_eq!(principal.unnoted_use(), None);
    }
}
