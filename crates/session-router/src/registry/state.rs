//! The registry's state as a plain value: every operation takes the time and does all of its work at once.
//!
//! A lease stands in two places: in `slots` (whose it is) and in its worker's `expiries` (when it ends). Whatever touches one
//! touches the other in the same step. The slots in use are the length of `expiries`: there is no counter to drift.
//!
//! Bounded: slots by the capacities, workers by those that lived within `forget_after`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use dalston_engine_sdk::Capabilities;
use dalston_protocol::{LeaseId, WorkerId};
use tokio::time::Instant;

use super::{Heartbeat, Lease, RegistryTimes, Reservation, ReserveError, ReserveRequest, kinds::Kinds};
use crate::{Address, Fit, Health, WorkerRecord, WorkerStatus};

#[derive(Debug)]
pub(super) struct State {
    times: RegistryTimes,
    workers: BTreeMap<WorkerId, Worker>,
    slots: HashMap<LeaseId, Slot>,
    /// Counts reservations, to know which worker was chosen longest ago.
    turn: u64,
    /// Nothing ends by time before this: a heartbeat leaves it as it is, a lease may bring it forward.
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

/// One that is taken.
#[derive(Debug)]
struct Slot {
    worker: WorkerId,
    expires: Instant,
}

impl State {
    pub(super) fn new(times: RegistryTimes) -> Self {
        Self { times, workers: BTreeMap::new(), slots: HashMap::new(), turn: 0, due: None }
    }

    pub(super) fn restore(&mut self, record: WorkerRecord, held: &[LeaseId], now: Instant) {
        let worker_id = record.worker_id.clone();
        self.register(record, now);
        for lease in held {
            if !self.slots.contains_key(lease) {
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
        self.due_by(worker.ends(&self.times));
        self.workers.insert(record.worker_id, worker);
    }

    pub(super) fn heartbeat(&mut self, worker: &WorkerId, now: Instant) -> Heartbeat {
        // First: whoever has been forgotten must register again.
        self.sweep(now);
        let Some(worker) = self.workers.get_mut(worker) else { return Heartbeat::Unknown };
        worker.seen = now;
        worker.suspect_until = worker.suspect_until.filter(|until| now < *until);
        Heartbeat::Counted
    }

    pub(super) fn deregister(&mut self, worker: &WorkerId) {
        let Some(worker) = self.workers.remove(worker) else { return };
        for (_, lease) in &worker.expiries {
            self.slots.remove(lease);
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

    pub(super) fn renew(&mut self, leases: &[Lease], now: Instant) {
        self.sweep(now);
        for lease in leases {
            if !self.prolong(lease, now) && self.has_room(&lease.worker_id) {
                self.take(&lease.id, &lease.worker_id, lease.ttl, now);
            }
        }
    }

    pub(super) fn release(&mut self, lease: &LeaseId) {
        self.drop_lease(lease);
    }

    pub(super) fn workers(&mut self, now: Instant) -> Vec<WorkerStatus> {
        self.sweep(now);
        debug_assert_eq!(self.slots.len(), self.workers.values().map(Worker::used).sum::<usize>(), "both places agree");
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

    /// Ends what has ended by time: leases past their expiry, workers lost long ago.
    fn sweep(&mut self, now: Instant) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        let Self { times, workers, slots, .. } = self;
        workers.retain(|_, worker| {
            let is_forgotten = worker.forgotten(times) <= now;
            while worker.expiries.first().is_some_and(|(expires, _)| is_forgotten || *expires <= now) {
                let (_, lease) = worker.expiries.pop_first().expect("a first one was seen");
                slots.remove(&lease);
            }
            !is_forgotten
        });
        self.due = self.workers.values().map(|worker| worker.ends(&self.times)).min();
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
        self.slots.insert(lease.clone(), Slot { worker: worker_id.clone(), expires });
        self.due_by(expires);
    }

    /// Whether it was there.
    fn prolong(&mut self, lease: &Lease, now: Instant) -> bool {
        let Some(slot) = self.slots.get_mut(&lease.id) else { return false };
        let Some(worker) = self.workers.get_mut(&slot.worker) else { return false };
        worker.expiries.remove(&(slot.expires, lease.id.clone()));
        let expires = now + lease.ttl;
        slot.expires = expires;
        worker.expiries.insert((expires, lease.id.clone()));
        // Its worker may have brought it back for longer.
        self.due_by(expires);
        true
    }

    fn has_room(&self, worker: &WorkerId) -> bool {
        self.workers.get(worker).is_some_and(|worker| worker.used() < worker.capacity)
    }

    fn drop_lease(&mut self, id: &LeaseId) {
        let Some(slot) = self.slots.remove(id) else { return };
        if let Some(worker) = self.workers.get_mut(&slot.worker) {
            worker.expiries.remove(&(slot.expires, id.clone()));
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

    /// When the next thing of it ends: a lease, or the memory of it.
    fn ends(&self, times: &RegistryTimes) -> Instant {
        let forgotten = self.forgotten(times);
        self.expiries.first().map_or(forgotten, |(expires, _)| forgotten.min(*expires))
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
