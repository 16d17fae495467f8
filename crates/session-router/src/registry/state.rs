//! The registry's state as a plain value: every operation takes the time and does all of its work at once.
//!
//! A lease stands in two places: in `leases` (whose it is) and in its worker's `expiries` (when it ends). Whatever touches one
//! touches the other in the same step. The slots in use are the length of `expiries`: there is no counter to drift.
//!
//! Bounded: leases by the capacities, workers by those that lived within `forget_after`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use dalston_engine_sdk::Capabilities;
use dalston_protocol::{LeaseId, WorkerId};
use tokio::time::Instant;

use super::{Heartbeat, RegistryTimes, Reservation, ReserveError, ReserveRequest, kinds::Kinds};
use crate::{Address, Fit, Health, WorkerRecord, WorkerStatus};

#[derive(Debug)]
pub(super) struct State {
    times: RegistryTimes,
    workers: BTreeMap<WorkerId, Worker>,
    leases: HashMap<LeaseId, Lease>,
    /// Counts reservations, to know which worker was chosen longest ago.
    turn: u64,
    /// Nothing ends by time before this: what prolongs a life leaves it as it is, what begins one may bring it forward.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Worker {
    address: Address,
    capacity: usize,
    /// Shared by all workers of one kind, so that a reservation asks each kind once.
    engines: Arc<[Capabilities]>,
    /// Last heartbeat.
    seen: Instant,
    draining: bool,
    suspect_until: Option<Instant>,
    /// The leases on its slots, the next to expire first.
    expiries: BTreeSet<(Instant, LeaseId)>,
    /// The turn at which it was chosen last.
    chosen: u64,
}

#[derive(Debug)]
struct Lease {
    worker: WorkerId,
    ttl: Duration,
    expires: Instant,
}

impl State {
    pub(super) fn new(times: RegistryTimes) -> Self {
        Self { times, workers: BTreeMap::new(), leases: HashMap::new(), turn: 0, due: None }
    }

    pub(super) fn restore(&mut self, record: WorkerRecord, held: &[LeaseId], now: Instant) {
        let worker_id = record.worker_id.clone();
        self.register(record, now);
        for lease in held {
            if !self.leases.contains_key(lease) {
                self.take(lease, &worker_id, self.times.held_ttl(), now);
            }
        }
    }

    pub(super) fn register(&mut self, record: WorkerRecord, now: Instant) {
        self.sweep(now);
        let kin = self.workers.values().find(|worker| *worker.engines == *record.engines);
        let engines = kin.map_or_else(|| record.engines.into(), |worker| worker.engines.clone());
        let before = self.workers.remove(&record.worker_id);
        let (expiries, chosen) = before.map(|worker| (worker.expiries, worker.chosen)).unwrap_or_default();
        let worker = Worker {
            address: record.address,
            capacity: record.capacity,
            engines,
            seen: now,
            draining: false,
            suspect_until: None,
            expiries,
            chosen,
        };
        self.due_by(worker.ends(now, &self.times));
        self.workers.insert(record.worker_id, worker);
    }

    pub(super) fn heartbeat(&mut self, worker: &WorkerId, now: Instant) -> Heartbeat {
        // First, so that leases which ended with a missed heartbeat do not come back with a late one.
        self.sweep(now);
        let Some(worker) = self.workers.get_mut(worker) else { return Heartbeat::Unknown };
        worker.seen = now;
        worker.suspect_until = worker.suspect_until.filter(|until| now < *until);
        // It may have been lost, and waited to be forgotten later than it can be lost again.
        let ends = worker.ends(now, &self.times);
        self.due_by(ends);
        Heartbeat::Counted
    }

    pub(super) fn deregister(&mut self, worker: &WorkerId) {
        let Some(worker) = self.workers.remove(worker) else { return };
        for (_, lease) in &worker.expiries {
            self.leases.remove(lease);
        }
    }

    pub(super) fn drain(&mut self, worker: &WorkerId) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.draining = true;
        }
    }

    pub(super) fn suspect(&mut self, worker: &WorkerId, until: Instant) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.suspect_until = worker.suspect_until.max(Some(until));
        }
    }

    pub(super) fn reserve(&mut self, request: &ReserveRequest, now: Instant) -> Result<Reservation, ReserveError> {
        self.sweep(now);
        // A lease has one slot. Its name is fresh, or its holder gives up what it stood for.
        self.drop_lease(&request.lease);

        let mut kinds = Kinds::new(&request.wanted);
        let mut best: Option<(&WorkerId, &Worker, Rc<Fit>)> = None;
        let mut candidates = 0;
        for (id, worker) in &self.workers {
            let open = worker.health(now, &self.times) == Health::Ready && worker.used() < worker.capacity;
            if !open || request.exclude.contains(id) {
                continue;
            }
            let Ok(fit) = kinds.fit(&worker.engines) else { continue };
            candidates += 1;
            if best.as_ref().is_none_or(|(_, other, _)| worker.goes_before(other)) {
                best = Some((id, worker, fit));
            }
        }
        let Some((id, worker, fit)) = best else { return Err(self.explain(&mut kinds, now)) };
        let reservation = Reservation {
            worker_id: id.clone(),
            address: worker.address.clone(),
            engine_id: fit.engine_id.clone(),
            language: fit.language.clone(),
            candidates,
        };
        self.hold(request, &reservation.worker_id, now);
        Ok(reservation)
    }

    /// The leases that are no more.
    pub(super) fn renew(&mut self, leases: &[LeaseId], now: Instant) -> Vec<LeaseId> {
        self.sweep(now);
        leases.iter().filter(|lease| !self.renew_one(lease, now)).cloned().collect()
    }

    pub(super) fn release(&mut self, lease: &LeaseId) {
        self.drop_lease(lease);
    }

    pub(super) fn workers(&mut self, now: Instant) -> Vec<WorkerStatus> {
        self.sweep(now);
        let status = |(id, worker): (&WorkerId, &Worker)| WorkerStatus {
            worker_id: id.clone(),
            health: worker.health(now, &self.times),
            capacity: worker.capacity,
            used: worker.used(),
            engines: worker.engines.to_vec(),
            heartbeat_age: now.duration_since(worker.seen),
        };
        self.workers.iter().map(status).collect()
    }

    #[cfg(test)]
    pub(super) fn leases(&self) -> usize {
        self.leases.len()
    }

    /// Ends what has ended by time: leases past their expiry, all leases of lost workers, workers lost long ago.
    fn sweep(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let Self { times, workers, leases, .. } = self;
        workers.retain(|_, worker| {
            let lost = worker.is_lost(now, times);
            while worker.expiries.first().is_some_and(|(expires, _)| lost || *expires <= now) {
                let (_, lease) = worker.expiries.pop_first().expect("a first one was seen");
                leases.remove(&lease);
            }
            now < worker.forgotten(times)
        });
        self.due = self.workers.values().map(|worker| worker.ends(now, &self.times)).min();
    }

    fn due_by(&mut self, ends: Instant) {
        self.due = Some(self.due.map_or(ends, |due| due.min(ends)));
    }

    fn hold(&mut self, request: &ReserveRequest, worker_id: &WorkerId, now: Instant) {
        self.turn += 1;
        if let Some(worker) = self.workers.get_mut(worker_id) {
            worker.chosen = self.turn;
        }
        self.take(&request.lease, worker_id, request.ttl, now);
    }

    fn take(&mut self, lease: &LeaseId, worker_id: &WorkerId, ttl: Duration, now: Instant) {
        let Some(worker) = self.workers.get_mut(worker_id) else { return };
        let expires = now + ttl;
        worker.expiries.insert((expires, lease.clone()));
        self.leases.insert(lease.clone(), Lease { worker: worker_id.clone(), ttl, expires });
        self.due_by(expires);
    }

    fn renew_one(&mut self, id: &LeaseId, now: Instant) -> bool {
        let Some(lease) = self.leases.get_mut(id) else { return false };
        let Some(worker) = self.workers.get_mut(&lease.worker) else { return false };
        worker.expiries.remove(&(lease.expires, id.clone()));
        lease.expires = now + lease.ttl;
        worker.expiries.insert((lease.expires, id.clone()))
    }

    fn drop_lease(&mut self, id: &LeaseId) {
        let Some(lease) = self.leases.remove(id) else { return };
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            worker.expiries.remove(&(lease.expires, id.clone()));
        }
    }

    /// Why nobody was chosen.
    fn explain<'a>(&'a self, kinds: &mut Kinds<'a>, now: Instant) -> ReserveError {
        if self.workers.is_empty() {
            // Workers are starting, or were lost all at once: nobody can say that the model does not exist.
            return ReserveError::NoCapacity { retry_after: self.times.retry_lost() };
        }
        let fitting: Vec<&Worker> = self.workers.values().filter(|worker| kinds.fit(&worker.engines).is_ok()).collect();
        if fitting.is_empty() {
            return kinds.misfit();
        }
        let retry_after = fitting.iter().filter_map(|worker| worker.retry_after(now, &self.times)).min();
        retry_after.map_or(ReserveError::Draining, |retry_after| ReserveError::NoCapacity { retry_after })
    }
}

impl Worker {
    fn used(&self) -> usize {
        self.expiries.len()
    }

    fn is_lost(&self, now: Instant, times: &RegistryTimes) -> bool {
        self.seen + times.worker_ttl <= now
    }

    fn forgotten(&self, times: &RegistryTimes) -> Instant {
        self.seen + times.forget_after.max(times.worker_ttl)
    }

    /// When the next thing of it ends: a lease, its life, or at last the memory of it.
    fn ends(&self, now: Instant, times: &RegistryTimes) -> Instant {
        if self.is_lost(now, times) {
            return self.forgotten(times);
        }
        let lost = self.seen + times.worker_ttl;
        self.expiries.first().map_or(lost, |(expires, _)| lost.min(*expires))
    }

    fn health(&self, now: Instant, times: &RegistryTimes) -> Health {
        if self.is_lost(now, times) {
            Health::Lost
        } else if self.draining {
            Health::Draining
        } else if self.suspect_until.is_some() {
            Health::Suspect
        } else {
            Health::Ready
        }
    }

    /// A smaller share of its slots in use (`a/b < c/d` as `a·d < c·b`); of equals, chosen longer ago.
    fn goes_before(&self, other: &Self) -> bool {
        let share = |a: &Self, b: &Self| a.used() as u128 * b.capacity as u128;
        (share(self, other), self.chosen) < (share(other, self), other.chosen)
    }

    /// When it may take a session; `None` when never.
    fn retry_after(&self, now: Instant, times: &RegistryTimes) -> Option<Duration> {
        match self.health(now, times) {
            Health::Ready => Some(RegistryTimes::BUSY_RETRY),
            Health::Suspect => {
                let until = self.suspect_until.unwrap_or(now);
                Some(until.saturating_duration_since(now).max(RegistryTimes::MIN_RETRY))
            }
            Health::Lost => Some(times.retry_lost()),
            Health::Draining => None,
        }
    }
}
