//! One task that renews all leases of a router, and releases those whose guards were dropped.
//!
//! A lease is lost when the registry says so, and not while the registry is away: its sessions are between gateway and worker,
//! and a worker takes no more of them than it has slots, whatever the registry has forgotten by then.
//!
//! Leases are kept in a book that guards write to without waiting. Nothing in it grows beyond the slots there are: every entry
//! was granted by the registry, or asked for by one allocation under way.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dalston_protocol::LeaseId;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{LeaseGuard, Registry};

/// Leases renewed in one step of the registry, so that one router with many sessions does not stop the others.
const RENEWED_AT_ONCE: usize = 256;

/// Owns the task; dropping it ends the task, and what it held expires.
#[derive(Debug)]
pub(crate) struct Keeper {
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts keeping leases that live for `ttl` unless renewed. Must be called on a runtime.
    pub(crate) fn start(registry: Arc<dyn Registry>, ttl: Duration) -> Self {
        let ledger = Arc::new(Ledger { registry, book: Mutex::default(), given_back: Notify::new() });
        let task = tokio::spawn(keep(ledger.clone(), ttl));
        Self { ledger, task }
    }

    pub(crate) fn claim(&self) -> LeaseGuard {
        LeaseGuard::claim(self.ledger.clone())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(ledger: Arc<Ledger>, ttl: Duration) {
    // A third of the lease time: when one renewal fails, the next still comes in good time.
    let every = (ttl / 3).max(Duration::from_millis(1));
    let mut renewals = interval_at(Instant::now() + every, every);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ledger.given_back.notified() => ledger.release_given_back().await,
            _ = renewals.tick() => ledger.renew_all().await,
        }
    }
}

/// What the guards and the keeper share.
#[derive(Debug)]
pub(crate) struct Ledger {
    registry: Arc<dyn Registry>,
    /// Not an async lock: no await happens under it, and guards write to it while they are dropped.
    book: Mutex<Book>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Book {
    /// What is cancelled when the lease is lost.
    held: HashMap<LeaseId, CancellationToken>,
    /// Dropped, and not yet released in the registry.
    given_back: Vec<LeaseId>,
}

impl Ledger {
    /// Renews `lease` from now on and cancels `lost` when that fails for good.
    pub(crate) fn hold(&self, lease: &LeaseId, lost: &CancellationToken) {
        self.book.lock().held.insert(lease.clone(), lost.clone());
    }

    /// Has `lease` released soon, without waiting.
    pub(crate) fn give_back(&self, lease: &LeaseId) {
        let mut book = self.book.lock();
        book.held.remove(lease);
        book.given_back.push(lease.clone());
        self.given_back.notify_one();
    }

    /// Releases `lease` before it returns.
    pub(crate) async fn release_now(&self, lease: &LeaseId) {
        self.book.lock().held.remove(lease);
        if let Err(unavailable) = self.registry.release(lease).await {
            warn!(%lease, %unavailable, "the slot stays taken until its lease expires");
        }
    }

    async fn release_given_back(&self) {
        let given_back = std::mem::take(&mut self.book.lock().given_back);
        for lease in given_back {
            self.release_now(&lease).await;
        }
    }

    async fn renew_all(&self) {
        let leases: Vec<LeaseId> = self.book.lock().held.keys().cloned().collect();
        for batch in leases.chunks(RENEWED_AT_ONCE) {
            match self.registry.renew(batch).await {
                Ok(lost) => self.book.lock().lose(&lost),
                Err(unavailable) => warn!(leases = batch.len(), %unavailable, "leases were not renewed"),
            }
        }
    }
}

impl Book {
    /// Those that were given back meanwhile are not here any more.
    fn lose(&mut self, leases: &[LeaseId]) {
        for lease in leases {
            if let Some(lost) = self.held.remove(lease) {
                warn!(%lease, "the slot was lost");
                lost.cancel();
            }
        }
    }
}
