//! The lease of one session's slot, from the side of whoever holds it.

use std::sync::Arc;

use dalston_protocol::LeaseId;
use tokio_util::sync::CancellationToken;

use crate::keeper::Ledger;

/// Holds one slot of a worker. The router's keeper renews it; dropping it gives the slot back.
///
/// [`LeaseGuard::release`] gives it back before it returns, which is for those who tell a client that the session is over and
/// want the slot to be free when the client hears of it.
#[derive(Debug)]
pub struct LeaseGuard {
    id: LeaseId,
    lost: CancellationToken,
    ledger: Arc<Ledger>,
    /// Whether the registry may know this lease.
    armed: bool,
}

impl LeaseGuard {
    /// A lease that is about to be asked for. From here on, dropping the guard releases whatever came of it.
    pub(crate) fn claim(ledger: Arc<Ledger>) -> Self {
        Self { id: LeaseId::generate(), lost: CancellationToken::new(), ledger, armed: true }
    }

    /// The lease was granted: renew it from now on.
    pub(crate) fn hold(&self) {
        self.ledger.hold(&self.id, &self.lost);
    }

    /// The lease was refused: nothing is to be released.
    pub(crate) fn forget(mut self) {
        self.armed = false;
    }

    /// The lease.
    pub fn id(&self) -> &LeaseId {
        &self.id
    }

    /// Resolves when the registry says that the lease is lost while it is held: its worker was lost, or its time ran out while
    /// this gateway could not renew it and others could take the slot. So this session must end. May be awaited again and again.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
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
        if self.armed && !self.lost.is_cancelled() {
            self.ledger.give_back(&self.id);
        }
    }
}
