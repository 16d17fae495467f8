//! Random histories of workers, leases and time, held against a model that forgets nothing and looks everything up.

use std::time::Duration;

use dalston_protocol::{LeaseId, WorkerId};
use proptest::{collection::vec, prelude::*};
use tokio::time::Instant;

use super::{Heartbeat, RegistryTimes, ReserveError, ReserveRequest, state::State};
use crate::{
    Health, Wanted, WorkerRecord,
    conformance::{engine, worker},
};

const WORKERS: usize = 4;
const TIMES: RegistryTimes =
    RegistryTimes { worker_ttl: Duration::from_millis(30), forget_after: Duration::from_millis(90) };
const LONGEST_LEASE: Duration = Duration::from_millis(40);

/// What may happen. Workers and leases are meant by their number, modulo how many there are.
#[derive(Debug, Clone)]
enum Event {
    Register {
        worker: usize,
        capacity: usize,
    },
    Heartbeat {
        worker: usize,
    },
    Deregister {
        worker: usize,
    },
    Drain {
        worker: usize,
    },
    Suspect {
        worker: usize,
        cool_down: Duration,
    },
    Reserve {
        exclude: Vec<usize>,
        ttl: Duration,
    },
    /// A gateway's batch: all leases whose number has this remainder. The others' gateways have crashed.
    Renew {
        modulo: usize,
        remainder: usize,
    },
    Release {
        lease: usize,
    },
    Pass {
        time: Duration,
    },
}

fn event() -> impl Strategy<Value = Event> {
    let worker = || 0..WORKERS;
    let up_to = |limit: Duration| (1..=limit.as_millis() as u64).prop_map(Duration::from_millis);
    prop_oneof![
        3 => (worker(), 0..5usize).prop_map(|(worker, capacity)| Event::Register { worker, capacity }),
        6 => worker().prop_map(|worker| Event::Heartbeat { worker }),
        1 => worker().prop_map(|worker| Event::Deregister { worker }),
        1 => worker().prop_map(|worker| Event::Drain { worker }),
        1 => (worker(), up_to(TIMES.worker_ttl)).prop_map(|(worker, cool_down)| Event::Suspect { worker, cool_down }),
        12 => (vec(worker(), 0..3), up_to(LONGEST_LEASE)).prop_map(|(exclude, ttl)| Event::Reserve { exclude, ttl }),
        4 => (1..4usize, 0..4usize).prop_map(|(modulo, remainder)| Event::Renew { modulo, remainder }),
        4 => any::<usize>().prop_map(|lease| Event::Release { lease }),
        6 => up_to(Duration::from_millis(12)).prop_map(|time| Event::Pass { time }),
    ]
}

/// A worker as the contract has it.
#[derive(Debug, Clone)]
struct Worker {
    id: WorkerId,
    /// `None` before it registers and after it left or was forgotten.
    known: Option<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    capacity: usize,
    seen: Instant,
    draining: bool,
    suspect_until: Option<Instant>,
}

impl Known {
    fn health(&self, now: Instant) -> Health {
        match self {
            _ if self.seen + TIMES.worker_ttl <= now => Health::Lost,
            Known { draining: true, .. } => Health::Draining,
            Known { suspect_until: Some(_), .. } => Health::Suspect,
            _ => Health::Ready,
        }
    }
}

#[derive(Debug)]
struct Lease {
    id: LeaseId,
    worker: usize,
    ttl: Duration,
    /// `None` once it is over.
    until: Option<Instant>,
}

struct Model {
    state: State,
    now: Instant,
    workers: Vec<Worker>,
    leases: Vec<Lease>,
}

impl Model {
    fn new() -> Self {
        let workers = (0..WORKERS).map(|_| Worker { id: WorkerId::generate(), known: None }).collect();
        Self { state: State::new(TIMES), now: Instant::now(), workers, leases: Vec::new() }
    }

    fn used(&self, worker: usize) -> usize {
        self.leases.iter().filter(|lease| lease.worker == worker && lease.until.is_some()).count()
    }

    fn end_leases(&mut self, over: impl Fn(&Lease) -> bool) {
        self.leases.iter_mut().filter(|lease| over(lease)).for_each(|lease| lease.until = None);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Register { worker, capacity } => self.register(worker, capacity),
            Event::Heartbeat { worker } => {
                let counted = self.state.heartbeat(&self.workers[worker].id, self.now) == Heartbeat::Counted;
                let (now, known) = (self.now, self.workers[worker].known.as_mut());
                assert_eq!(counted, known.is_some());
                if let Some(known) = known {
                    known.seen = now;
                    known.suspect_until = known.suspect_until.filter(|until| *until > now);
                }
            }
            Event::Deregister { worker } => {
                self.state.deregister(&self.workers[worker].id);
                self.workers[worker].known = None;
                self.end_leases(|lease| lease.worker == worker);
            }
            Event::Drain { worker } => {
                self.state.drain(&self.workers[worker].id);
                self.workers[worker].known.iter_mut().for_each(|known| known.draining = true);
            }
            Event::Suspect { worker, cool_down } => {
                let until = Some(self.now + cool_down);
                self.state.suspect(&self.workers[worker].id, self.now + cool_down);
                let known = self.workers[worker].known.iter_mut();
                known.for_each(|known| known.suspect_until = known.suspect_until.max(until));
            }
            Event::Reserve { exclude, ttl } => self.reserve(&exclude, ttl),
            Event::Renew { modulo, remainder } => self.renew(modulo, remainder % modulo),
            Event::Release { lease } if !self.leases.is_empty() => {
                let index = lease % self.leases.len();
                self.state.release(&self.leases[index].id);
                self.leases[index].until = None;
            }
            Event::Release { .. } => self.state.release(&LeaseId::generate()),
            Event::Pass { time } => self.pass(time),
        }
    }

    fn register(&mut self, number: usize, capacity: usize) {
        let worker_id = self.workers[number].id.clone();
        let record = WorkerRecord { worker_id, ..worker(capacity, vec![engine("echo", "echo-en", &["en"])]) };
        self.state.register(record, self.now);
        self.workers[number].known = Some(Known { capacity, seen: self.now, draining: false, suspect_until: None });
    }

    /// The share of its slots in use, if it may be chosen.
    fn open_share(&self, number: usize, exclude: &[usize]) -> Option<f64> {
        let known = self.workers[number].known.filter(|known| known.health(self.now) == Health::Ready)?;
        let used = self.used(number);
        (used < known.capacity && !exclude.contains(&number)).then(|| used as f64 / known.capacity as f64)
    }

    fn reserve(&mut self, exclude: &[usize], ttl: Duration) {
        let request = ReserveRequest {
            lease: LeaseId::generate(),
            wanted: Wanted { language: "en".into(), model: None },
            ttl,
            exclude: exclude.iter().map(|&number| self.workers[number].id.clone()).collect(),
        };
        let shares: Vec<Option<f64>> = (0..WORKERS).map(|number| self.open_share(number, exclude)).collect();
        let open: Vec<f64> = shares.iter().flatten().copied().collect();
        match self.state.reserve(&request, self.now) {
            Ok(reservation) => {
                let by_id = |worker: &Worker| worker.id == reservation.worker_id;
                let worker = self.workers.iter().position(by_id).expect("only known workers are chosen");
                let smallest = open.iter().copied().reduce(f64::min);
                assert_eq!(shares[worker], smallest, "not the least loaded of {shares:?}");
                assert_eq!(reservation.candidates, open.len());
                self.leases.push(Lease { id: request.lease, worker, ttl, until: Some(self.now + ttl) });
            }
            Err(ReserveError::NoCapacity { .. } | ReserveError::Draining) => {
                assert!(open.is_empty(), "there was room: {open:?}");
            }
            Err(error) => panic!("all workers have what is wanted: {error}"),
        }
    }

    fn renew(&mut self, modulo: usize, remainder: usize) {
        let batch = self.leases.iter_mut().skip(remainder).step_by(modulo).collect::<Vec<_>>();
        let ids: Vec<LeaseId> = batch.iter().map(|lease| lease.id.clone()).collect();
        let over: Vec<LeaseId> =
            batch.iter().filter(|lease| lease.until.is_none()).map(|lease| lease.id.clone()).collect();
        assert_eq!(self.state.renew(&ids, self.now), over);
        for lease in batch {
            lease.until = lease.until.map(|_| self.now + lease.ttl);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        for number in 0..WORKERS {
            let known = &mut self.workers[number].known;
            let lost = known.is_none_or(|known| known.health(now) == Health::Lost);
            *known = known.filter(|known| known.seen + TIMES.forget_after > now);
            self.end_leases(|lease| lease.worker == number && (lost || lease.until.is_some_and(|until| until <= now)));
        }
    }

    /// What the registry says is what the model says.
    fn check(&mut self) {
        let mut stated = self.state.workers(self.now);
        for number in 0..WORKERS {
            let Worker { id, known } = &self.workers[number];
            let at = stated.iter().position(|status| status.worker_id == *id);
            let stated =
                at.map(|at| stated.swap_remove(at)).map(|status| (status.health, status.capacity, status.used));
            assert_eq!(stated, known.map(|known| (known.health(self.now), known.capacity, self.used(number))));
        }
        assert!(stated.is_empty(), "workers out of nowhere: {stated:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_history_leaks_a_slot_or_sells_it_twice(events in vec(event(), 1..120)) {
        let mut model = Model::new();
        for event in events {
            model.step(event);
            model.check();
        }
        // Nobody renews any more, and the workers live on: every slot comes back.
        let mut waited = Duration::ZERO;
        while waited < LONGEST_LEASE {
            (0..WORKERS).for_each(|worker| model.step(Event::Heartbeat { worker }));
            model.step(Event::Pass { time: Duration::from_millis(5) });
            waited += Duration::from_millis(5);
        }
        let used: usize = model.state.workers(model.now).iter().map(|status| status.used).sum();
        prop_assert_eq!(used, 0);
        prop_assert_eq!(model.state.leases(), 0);
    }
}
