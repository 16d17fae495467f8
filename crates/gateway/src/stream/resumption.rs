//! Sessions whose clients may come back: where they are kept, and which of them this gateway has.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use dalston_protocol::{SessionId, realtime::ResumeToken};
use dalston_session_router::{Epoch, ResumeStore, SecretHash};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

/// A gateway that dies has saved its sessions within this time before. They are kept for so much longer than clients
/// may take.
const SAVED_WITHIN: Duration = Duration::from_secs(2);

/// What all sessions of this gateway share that may be resumed.
pub(crate) struct Resumption {
    pub(super) store: Arc<dyn ResumeStore>,
    /// A session waits for its client so long.
    pub(super) window: Duration,
    /// The sessions that this gateway has, so that one that is resumed here is let go at once. As many as are open.
    // Not an async lock: it is held for a map operation.
    here: Mutex<HashMap<SessionId, Held>>,
}

#[derive(Debug)]
struct Held {
    epoch: Epoch,
    taken: CancellationToken,
}

impl Resumption {
    pub(crate) fn new(store: Arc<dyn ResumeStore>, window: Duration) -> Arc<Self> {
        Arc::new(Self { store, window, here: Mutex::default() })
    }

    /// How long a session is kept after it was saved last.
    pub(super) fn kept_for(&self) -> Duration {
        self.window + SAVED_WITHIN
    }

    /// This connection has the session from now on, and the one before it, if that is of this gateway, is told so.
    pub(super) fn hold(self: &Arc<Self>, session: &SessionId, epoch: Epoch) -> Holding {
        let taken = CancellationToken::new();
        let mut here = self.here.lock();
        match here.get(session) {
            // Of two that take it at once, the later one may come here first.
            Some(held) if held.epoch.number > epoch.number => taken.cancel(),
            _ => {
                let before = here.insert(session.clone(), Held { epoch, taken: taken.clone() });
                before.into_iter().for_each(|held| held.taken.cancel());
            }
        }
        drop(here);
        Holding { resumption: self.clone(), session: session.clone(), epoch, taken }
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption").field("store", &self.store).field("window", &self.window).finish_non_exhaustive()
    }
}

/// That this connection has a session, until it is dropped or another one has it.
#[derive(Debug)]
pub(super) struct Holding {
    resumption: Arc<Resumption>,
    pub(super) session: SessionId,
    pub(super) epoch: Epoch,
    /// Cancelled when another connection of this gateway has it.
    pub(super) taken: CancellationToken,
}

impl Holding {
    pub(super) fn all(&self) -> &Resumption {
        &self.resumption
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut here = self.resumption.here.lock();
        if here.get(&self.session).is_some_and(|held| held.epoch == self.epoch) {
            here.remove(&self.session);
        }
    }
}

/// A new token, which nobody can guess.
pub(super) fn new_token(session: &SessionId) -> ResumeToken {
    let secret = BASE64.encode(rand::random::<[u8; 32]>());
    ResumeToken::new(session.clone(), &secret).expect("32 bytes are 43 characters")
}

/// What is kept of it.
pub(super) fn hash(token: &ResumeToken) -> SecretHash {
    SecretHash(Sha256::digest(token.secret()).into())
}

#[cfg(test)]
mod tests {
    use dalston_session_router::InProcessResumeStore;

    use super::*;

    #[test]
    fn the_last_one_that_took_a_session_has_it_in_whatever_order_they_say_so() {
        let resumption = Resumption::new(Arc::new(InProcessResumeStore::default()), Duration::from_secs(30));
        let session = SessionId::generate();
        let hold = |number| resumption.hold(&session, Epoch { number, ..Epoch::first() });
        let first = hold(1);
        let third = hold(3);
        let second = hold(2);
        assert!(first.taken.is_cancelled() && second.taken.is_cancelled() && !third.taken.is_cancelled());
        drop((first, second));
        let fourth = hold(4);
        assert!(third.taken.is_cancelled());
        drop((third, fourth));
        assert!(resumption.here.lock().is_empty());
    }
}
