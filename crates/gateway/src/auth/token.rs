//! Single-use tokens, for browsers, which cannot send a header with a WebSocket and must not hold a key.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use dalston_protocol::{ApiError, ErrorCode, key::Scope};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{Principal, key::random};

/// A token must be used in this time.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// Tokens that wait to be used, of all keys: 10 000 take 2 MB. Then 429.
const MOST: usize = 10_000;
/// … and of one key. Then 429, so that one key cannot take them all.
const MOST_OF_ONE_KEY: usize = 1_000;

/// What is kept of a token.
pub(super) type Hash = [u8; 32];

/// A new token, in full for the only time.
#[derive(Clone, serde::Serialize)]
pub struct IssuedToken {
    /// What stands in `?token=`.
    pub token: String,
    /// Seconds in which it must be used.
    pub expires_in: u64,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// A token that was taken by a request that may become a session. Dropped, it can be used again, in what is left of its
/// time: a session that found no worker leaves its client with what it came with.
#[derive(Debug)]
pub(crate) struct Ticket {
    hash: Hash,
    /// Nothing any more, once it is used up.
    principal: Option<Principal>,
    tokens: Arc<Tokens>,
}

impl Ticket {
    /// A session came of it: nobody uses it again.
    pub(crate) fn use_up(mut self) {
        self.principal = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(principal) = self.principal.take() {
            self.tokens.give_back(self.hash, principal, Instant::now());
        }
    }
}

/// The tokens that wait to be used.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    // A std-like mutex: it is held for a few map operations and no await.
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By hash, so that looking one up takes no time that depends on how much of a guess is right.
    by_hash: HashMap<Hash, Principal>,
    /// In the order in which they were issued, which is the order in which they expire.
    expiring: VecDeque<(Instant, Hash)>,
}

impl Tokens {
    pub(super) fn issue(&self, owner: &Principal, now: Instant) -> Result<IssuedToken, ApiError> {
        let mut waiting = self.waiting.lock();
        waiting.expire(now);
        let of_owner = waiting.by_hash.values().filter(|principal| principal.is_same(owner)).count();
        // Used tokens stay in the queue until they expire; counting them bounds it too.
        if of_owner >= MOST_OF_ONE_KEY || waiting.expiring.len() >= MOST {
            let message = "too many unused tokens; use them, or wait until they expire";
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(TOKEN_LIFETIME.as_secs_f64()));
        }
        let token = format!("tok_{}", BASE64.encode(random::<32>()));
        let hash = Sha256::digest(&token).into();
        waiting.by_hash.insert(hash, owner.restricted_to(Scope::Realtime));
        waiting.expiring.push_back((now + TOKEN_LIFETIME, hash));
        Ok(IssuedToken { token, expires_in: TOKEN_LIFETIME.as_secs() })
    }

    /// Whose token it is. It can still be used.
    pub(super) fn holder(&self, token: &str, now: Instant) -> Option<Principal> {
        let hash: Hash = Sha256::digest(token).into();
        let mut waiting = self.waiting.lock();
        waiting.expire(now);
        Some(waiting.by_hash.get(&hash)?.with_ticket(hash))
    }

    /// Takes the token, if it can still be used. Until it is given back nobody else can.
    pub(super) fn take(self: &Arc<Self>, hash: &Hash, now: Instant) -> Option<Ticket> {
        let mut waiting = self.waiting.lock();
        waiting.expire(now);
        let principal = waiting.by_hash.remove(hash)?;
        Some(Ticket { hash: *hash, principal: Some(principal), tokens: self.clone() })
    }

    /// Its place in the queue says that its time is not over; when that has gone, so has the token.
    fn give_back(&self, hash: Hash, principal: Principal, now: Instant) {
        let mut waiting = self.waiting.lock();
        waiting.expire(now);
        // Rare, and the queue is bounded.
        if waiting.expiring.iter().any(|(_, waits)| *waits == hash) {
            waiting.by_hash.insert(hash, principal);
        }
    }
}

impl Waiting {
    fn expire(&mut self, now: Instant) {
        while let Some((_, hash)) = self.expiring.pop_front_if(|(expires, _)| *expires <= now) {
            self.by_hash.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use dalston_protocol::key::KeyLimits;

    use super::*;

    fn owner(id: &str) -> Principal {
        Principal::new(id, &[Scope::Realtime], KeyLimits::default(), None)
    }

    fn hash(issued: &IssuedToken) -> Hash {
        Sha256::digest(&issued.token).into()
    }

    #[test]
    fn a_token_is_worth_nothing_after_its_time() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issued = tokens.issue(&owner("a"), now).unwrap();
        assert!(tokens.holder(&issued.token, now + TOKEN_LIFETIME).is_none());
        assert!(tokens.waiting.lock().by_hash.is_empty(), "an expired token takes no memory");
    }

    #[test]
    fn one_key_cannot_take_all_tokens() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let greedy = owner("a");
        for _ in 0..MOST_OF_ONE_KEY {
            tokens.issue(&greedy, now).unwrap();
        }
        assert_eq!(tokens.issue(&greedy, now).unwrap_err().code, ErrorCode::RateLimited);
        assert!(tokens.issue(&owner("a"), now).is_ok(), "another key of the same tenant");
        assert!(tokens.issue(&greedy, now + TOKEN_LIFETIME).is_ok(), "expired ones make room");
    }

    #[test]
    fn using_tokens_at_once_does_not_grow_the_queue_for_ever() {
        let (tokens, now) = (Arc::new(Tokens::default()), Instant::now());
        let refused = (0..MOST + 10)
            .filter(|_| match tokens.issue(&owner("a"), now) {
                Ok(issued) => tokens.take(&hash(&issued), now).map(Ticket::use_up).is_none(),
                Err(_) => true,
            })
            .count();
        assert_eq!(refused, 10);
    }

    #[test]
    fn a_token_that_opened_nothing_can_be_used_again_once_and_in_its_time() {
        let (tokens, now) = (Arc::new(Tokens::default()), Instant::now());
        let issued = tokens.issue(&owner("a"), now).unwrap();
        let taken = tokens.take(&hash(&issued), now).unwrap();
        assert!(tokens.take(&hash(&issued), now).is_none(), "two have it");
        assert!(tokens.holder(&issued.token, now).is_none());
        drop(taken);
        tokens.take(&hash(&issued), now).expect("it was given back").use_up();
        assert!(tokens.take(&hash(&issued), now).is_none(), "used twice");

        let issued = tokens.issue(&owner("a"), now).unwrap();
        let taken = tokens.take(&hash(&issued), now).unwrap();
        assert!(tokens.holder(&issued.token, now + TOKEN_LIFETIME).is_none());
        drop(taken);
        assert!(tokens.waiting.lock().by_hash.is_empty(), "it came back after its time, for ever");
    }
}
