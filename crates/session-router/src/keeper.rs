//! One task that renews all leases of a router, and releases those whose guards were dropped.
//!
//! A renewal says who has which slot, so that a registry that has forgotten a lease can take it down again. Nothing ends a lease
//! but its guard: sessions are between gateway and worker, and a worker takes no more of them than it has slots, whatever the
//! registry believes by then.
//!
//! Leases are kept in a book that guards write to without waiting. Nothing in it grows beyond the slots there are: every entry
//! was granted by the registry, or asked for by one allocation under way.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tracing::warn;

use crate::{Lease, LeaseGuard, Registry};

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
        let ledger = Arc::new(Ledger { registry, ttl, book: Mutex::default(), given_back: Notify::new() });
        let task = tokio::spawn(keep(ledger.clone()));
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

async fn keep(ledger: Arc<Ledger>) {
    // A third of the lease time: when one renewal fails, the next still comes in good time.
    let every = (ledger.ttl / 3).max(Duration::from_millis(1));
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
    ttl: Duration,
    /// Not an async lock: no await happens under it, and guards write to it while they are dropped.
    book: Mutex<Book>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Book {
    held: HashMap<LeaseId, WorkerId>,
    /// Dropped, and not yet released in the registry.
    given_back: Vec<LeaseId>,
}

impl Ledger {
    /// Renews `lease` from now on.
    pub(crate) fn hold(&self, lease: &LeaseId, worker: &WorkerId) {
        self.book.lock().held.insert(lease.clone(), worker.clone());
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
        let leases: Vec<Lease> = self.book.lock().leases(self.ttl);
        for batch in leases.chunks(RENEWED_AT_ONCE) {
            if let Err(unavailable) = self.registry.renew(batch).await {
                warn!(leases = batch.len(), %unavailable, "leases were not renewed");
            }
            self.book.lock().give_back_again(batch);
        }
        self.release_given_back().await;
    }
}

impl Book {
    fn leases(&self, ttl: Duration) -> Vec<Lease> {
        let lease = |(id, worker): (&LeaseId, &WorkerId)| Lease { id: id.clone(), worker_id: worker.clone(), ttl };
        self.held.iter().map(lease).collect()
    }

    /// Those of a renewal that were given back while it was under way: it may have come after the release, and taken the slot
    /// again for nobody.
    fn give_back_again(&mut self, renewed: &[Lease]) {
        let Self { held, given_back } = self;
        given_back.extend(renewed.iter().map(|lease| &lease.id).filter(|id| !held.contains_key(*id)).cloned());
    }
}
