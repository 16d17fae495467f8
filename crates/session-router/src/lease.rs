//! The lease of one session's slot, from the side of whoever holds it.

use std::sync::Arc;

use dalston_protocol::{LeaseId, WorkerId};

use crate::keeper::Ledger;

/// Holds one slot of a worker. The router's keeper renews it; dropping it gives the slot back. Whether the session lives is
/// between gateway and worker: no word of the registry ends it.
///
/// [`LeaseGuard::release`] gives it back before it returns, which is for those who tell a client that the session is over and
/// want the slot to be free when the client hears of it.
#[derive(Debug)]
pub struct LeaseGuard {
    id: LeaseId,
    ledger: Arc<Ledger>,
    /// Whether the registry may know this lease.
    armed: bool,
}

impl LeaseGuard {
    /// A lease that is about to be asked for. From here on, dropping the guard releases whatever came of it.
    pub(crate) fn claim(ledger: Arc<Ledger>) -> Self {
        Self { id: LeaseId::generate(), ledger, armed: true }
    }

    /// The lease was granted, for a slot of this worker: renew it from now on.
    pub(crate) fn hold(&self, worker: &WorkerId) {
        self.ledger.hold(&self.id, worker);
    }

    /// The lease was refused: nothing is to be released.
    pub(crate) fn forget(mut self) {
        self.armed = false;
    }

    /// The lease.
    pub fn id(&self) -> &LeaseId {
        &self.id
    }

    /// Gives the slot back. When this returns, the slot is free.
    pub async fn release(mut self) {
        self.ledger.release_now(&self.id).await;
        // Not before: dropped while it waits, the guard leaves the release to the keeper.
        self.armed = false;
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        if self.armed {
            self.ledger.give_back(&self.id);
        }
    }
}
