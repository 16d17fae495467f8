//! Who can serve sessions, and who holds which slot.
//!
//! Every operation is **one atomic step with the registry's own clock**: a lock in one process, one script where many
//! gateways share a store. Nothing reads first and writes later, so two gateways never sell the same slot.

mod clock;
mod in_process;
mod kinds;
#[cfg(test)]
mod properties;
mod redis;
mod state;
mod times;

use std::{fmt, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use futures_util::future::BoxFuture;

use crate::{Address, Wanted, WorkerRecord, WorkerStatus};

pub use in_process::InProcessRegistry;
pub use redis::RedisRegistry;
pub use times::RegistryTimes;

/// The state behind allocation. `conformance::registry` holds every implementation to this contract.
///
/// * A worker lives as long as its heartbeats come. One that misses them gets no sessions. Those it has are between it and
///   their gateways, who know better than the registry whether it is there: it may only have lost its way here.
/// * A slot is used while a live lease says so. Leases end by release, by expiry when nobody renews them, or when their worker
///   leaves or is forgotten.
/// * What the registry knows of a slot is less than what its worker knows, who takes no more sessions than it has slots. So no
///   session ends for what stands here: a lease that is gone while its session lives is taken again as soon as there is room.
/// * Each operation ends within a bound of its own; callers need no timeout. Dropping its future leaves it either done or not
///   done, never half.
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// Adds a worker, or replaces its record. It counts as a heartbeat and clears suspicion and draining; leases of the same
    /// worker stay. So do those that it holds and the registry forgot: each has its slot again, for long enough that its
    /// holder can renew it.
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>>;

    /// Adds a worker that has no sessions yet.
    fn register(&self, worker: WorkerRecord) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.restore(worker, Vec::new())
    }

    /// Says that the worker lives.
    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>>;

    /// Removes a worker and its leases. Idempotent.
    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Gives the worker no more sessions; those it has go on. Lasts until it registers again.
    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Gives the worker no more sessions for a while, because it refused one or did not answer.
    ///
    /// It comes back with its first heartbeat after `cool_down`. A heartbeat alone is not enough: it proves that the worker
    /// reaches the registry, not that gateways reach the worker, and one under way right now would undo the suspicion.
    /// Time alone is not enough either: a dead worker must not be tried again until it is forgotten. A second suspicion
    /// never shortens the first.
    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Reserves one slot: of the workers that fit, are healthy and have room, the one with the smallest share of its slots in
    /// use; of equals, the one that was chosen longest ago.
    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>>;

    /// Says that the sessions of these leases live. Each lease lives for its time from now. One that is not there is taken again
    /// if its worker is known and has a free slot; else it stays away until it is renewed again.
    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Ends a lease. Idempotent, and harmless for a lease that never was.
    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// All workers as they stand, lost ones included until they are forgotten. Ordered by id.
    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>>;
}

/// A wish for one slot.
#[derive(Debug, Clone)]
pub struct ReserveRequest {
    /// The lease to make, fresh from [`LeaseId::generate`]. The caller names it, so that one who is cancelled before the
    /// answer comes can release what it may have got.
    pub lease: LeaseId,
    /// What the worker must have.
    pub wanted: Wanted,
    /// How long the lease lives unless it is renewed.
    pub ttl: Duration,
    /// Workers that were tried already.
    pub exclude: Vec<WorkerId>,
}

/// A lease as its holder knows it, who can say it again to a registry that has forgotten it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// Whose slot.
    pub worker_id: WorkerId,
    /// How long it lives unless it is renewed.
    pub ttl: Duration,
}

/// One reserved slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Whose slot.
    pub worker_id: WorkerId,
    /// How to reach it.
    pub address: Address,
    /// Which of its engines.
    pub engine_id: String,
    /// The engine's own code for the language.
    pub language: String,
    /// Workers that fitted and had room, this one included.
    pub candidates: usize,
}

/// Why no slot was reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// No worker has an engine or model of that name.
    #[error("no worker has that model")]
    NoSuchModel {
        /// Names that would be right, sorted.
        available: Vec<String>,
    },
    /// The model is there, but not for that language.
    #[error("no worker has that language")]
    NoSuchLanguage {
        /// Codes that would be right, sorted.
        available: Vec<String>,
    },
    /// All workers that fit are full, suspect, lost or excluded; or there is none at all.
    #[error("no worker is free")]
    NoCapacity {
        /// After which trying again makes sense.
        retry_after: Duration,
    },
    /// All workers that fit are draining.
    #[error("every worker that fits is draining")]
    Draining,
    /// The registry could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Whether a heartbeat was for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Heartbeat {
    /// The worker lives on.
    Counted,
    /// The registry does not know the worker (any more), or may have forgotten what it holds; it must register.
    Unknown,
}

/// The registry did not answer. What was asked may have happened or not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the registry of workers is unavailable: {0}")]
pub struct Unavailable(pub String);
