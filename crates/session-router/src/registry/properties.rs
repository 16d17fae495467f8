//! Random histories of workers, leases and time, held against a model that forgets nothing and looks everything up. Both
//! registries are played the same histories.
//!
//! Time passes in whole units, and every time that ends something is half a unit more. So nothing ends while a registry whose
//! clock goes on by itself is asked, as long as a history takes less than half a unit of real time.

use std::{sync::Arc, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use futures_util::future::BoxFuture;
use proptest::{collection::vec, prelude::*};

use super::{Heartbeat, InProcessRegistry, Lease, Registry, RegistryTimes, ReserveError, ReserveRequest};
use crate::{
    Health, Wanted, WorkerRecord,
    conformance::{engine, registry::Subject, worker},
};

const UNIT: Duration = Duration::from_secs(60);
const WORKERS: usize = 4;
/// The models of the kinds of workers. A worker's kind is its number, modulo how many there are.
const MODELS: [&str; 2] = ["echo-en", "stein-en"];
pub(super) const TIMES: RegistryTimes = RegistryTimes { worker_ttl: half_past(30), forget_after: half_past(90) };
const LONGEST_LEASE: u32 = 40;

/// Whether the worker is of the kind that is asked for, if one is.
fn fits(worker: usize, kind: Option<usize>) -> bool {
    kind.is_none_or(|kind| worker % MODELS.len() == kind)
}

const fn half_past(units: u32) -> Duration {
    Duration::from_secs(UNIT.as_secs() * units as u64 + UNIT.as_secs() / 2)
}

/// What may happen. Workers and leases are meant by their number, modulo how many there are.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// With those of its leases whose number has this remainder modulo 3: the worker has their sessions.
    Register {
        worker: usize,
        capacity: usize,
        holds: Option<usize>,
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
        units: u32,
    },
    /// `kind` for the model of one kind of workers.
    Reserve {
        kind: Option<usize>,
        exclude: Vec<usize>,
        units: u32,
    },
    /// A gateway's batch: all leases whose number has this remainder, also those that are gone. The others' gateways have
    /// crashed.
    Renew {
        modulo: usize,
        remainder: usize,
    },
    Release {
        lease: usize,
    },
    Pass {
        units: u32,
    },
}

pub(super) fn events() -> impl Strategy<Value = Vec<Event>> {
    let worker = || 0..WORKERS;
    let holds = prop::option::weighted(0.3, 0..3usize);
    let register = (worker(), 0..5usize, holds);
    let reserve = (prop::option::weighted(0.3, 0..MODELS.len()), vec(worker(), 0..3), 0..LONGEST_LEASE);
    let event = prop_oneof![
        3 => register.prop_map(|(worker, capacity, holds)| Event::Register { worker, capacity, holds }),
        6 => worker().prop_map(|worker| Event::Heartbeat { worker }),
        1 => worker().prop_map(|worker| Event::Deregister { worker }),
        1 => worker().prop_map(|worker| Event::Drain { worker }),
        1 => (worker(), 0..30u32).prop_map(|(worker, units)| Event::Suspect { worker, units }),
        12 => reserve.prop_map(|(kind, exclude, units)| Event::Reserve { kind, exclude, units }),
        4 => (1..4usize, 0..4usize).prop_map(|(modulo, remainder)| Event::Renew { modulo, remainder }),
        4 => any::<usize>().prop_map(|lease| Event::Release { lease }),
        6 => (1..=12u32).prop_map(|units| Event::Pass { units }),
    ];
    vec(event, 1..120)
}

/// A worker as the contract has it.
#[derive(Debug, Clone)]
struct Worker {
    id: WorkerId,
    /// `None` before it registers and after it left or was forgotten.
    known: Option<Known>,
    /// When it was chosen last since then, counted in reservations.
    turn: usize,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    capacity: usize,
    seen: Duration,
    draining: bool,
    suspect_until: Option<Duration>,
}

impl Worker {
    fn leave(&mut self) {
        (self.known, self.turn) = (None, 0);
    }
}

impl Known {
    fn health(&self, now: Duration) -> Health {
        match self {
            _ if self.seen + TIMES.worker_ttl <= now => Health::Lost,
            Known { draining: true, .. } => Health::Draining,
            Known { suspect_until: Some(_), .. } => Health::Suspect,
            _ => Health::Ready,
        }
    }
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    worker: usize,
    /// `None` while it has no slot.
    until: Option<Duration>,
}

struct Model {
    registry: Arc<dyn Registry>,
    pass: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
    now: Duration,
    workers: Vec<Worker>,
    leases: Vec<Held>,
}

/// Plays a history to an empty registry with [`TIMES`], and sees that it says and does what the model does.
pub(super) async fn play(Subject { registry, pass, .. }: Subject, events: Vec<Event>) {
    let workers = (0..WORKERS).map(|_| Worker { id: WorkerId::generate(), known: None, turn: 0 }).collect();
    let mut model = Model { registry, pass, now: Duration::ZERO, workers, leases: Vec::new() };
    for event in events {
        model.step(event).await;
        model.check().await;
    }
    // Nobody renews any more, and the workers live on: every slot comes back.
    for _ in 0..=2 * TIMES.worker_ttl.as_secs() / UNIT.as_secs() / 8 {
        for worker in 0..WORKERS {
            model.step(Event::Heartbeat { worker }).await;
        }
        model.step(Event::Pass { units: 9 }).await;
    }
    assert_eq!((0..WORKERS).map(|worker| model.used(worker)).sum::<usize>(), 0);
    model.check().await;
}

impl Model {
    fn used(&self, worker: usize) -> usize {
        self.leases.iter().filter(|held| held.worker == worker && held.until.is_some()).count()
    }

    fn end_leases(&mut self, over: impl Fn(&Held) -> bool) {
        self.leases.iter_mut().filter(|held| over(held)).for_each(|held| held.until = None);
    }

    async fn step(&mut self, event: Event) {
        let there = "the registry answers";
        match event {
            Event::Register { worker, capacity, holds } => self.register(worker, capacity, holds).await,
            Event::Heartbeat { worker } => {
                let counted = self.registry.heartbeat(&self.workers[worker].id).await.expect(there);
                let (now, known) = (self.now, self.workers[worker].known.as_mut());
                assert_eq!(counted == Heartbeat::Counted, known.is_some());
                if let Some(known) = known {
                    known.seen = now;
                    known.suspect_until = known.suspect_until.filter(|until| *until > now);
                }
            }
            Event::Deregister { worker } => {
                self.registry.deregister(&self.workers[worker].id).await.expect(there);
                self.workers[worker].leave();
                self.end_leases(|held| held.worker == worker);
            }
            Event::Drain { worker } => {
                self.registry.drain(&self.workers[worker].id).await.expect(there);
                self.workers[worker].known.iter_mut().for_each(|known| known.draining = true);
            }
            Event::Suspect { worker, units } => {
                let until = Some(self.now + half_past(units));
                self.registry.suspect(&self.workers[worker].id, half_past(units)).await.expect(there);
                let known = self.workers[worker].known.iter_mut();
                known.for_each(|known| known.suspect_until = known.suspect_until.max(until));
            }
            Event::Reserve { kind, exclude, units } => self.reserve(kind, &exclude, half_past(units)).await,
            Event::Renew { modulo, remainder } => self.renew(modulo, remainder % modulo).await,
            Event::Release { lease } if !self.leases.is_empty() => {
                let index = lease % self.leases.len();
                self.registry.release(&self.leases[index].lease.id).await.expect(there);
                self.leases[index].until = None;
            }
            Event::Release { .. } => self.registry.release(&LeaseId::generate()).await.expect(there),
            Event::Pass { units } => self.pass(UNIT * units).await,
        }
    }

    async fn register(&mut self, number: usize, capacity: usize, holds: Option<usize>) {
        let worker_id = self.workers[number].id.clone();
        let engines = vec![engine("any", MODELS[number % MODELS.len()], &["en"])];
        let record = WorkerRecord { worker_id, ..worker(capacity, engines) };
        let (now, mut held) = (self.now, Vec::new());
        let until = now + TIMES.held_ttl();
        for (at, its) in self.leases.iter_mut().enumerate().filter(|(_, its)| its.worker == number) {
            if holds == Some(at % 3) {
                held.push(its.lease.id.clone());
                its.until.get_or_insert(until);
            }
        }
        self.registry.restore(record, held).await.expect("the registry answers");
        self.workers[number].known = Some(Known { capacity, seen: now, draining: false, suspect_until: None });
    }

    /// The share of its slots in use and its turn, if it may be chosen: the least of them is.
    fn rank(&self, number: usize, kind: Option<usize>, exclude: &[usize]) -> Option<(f64, usize)> {
        let known = self.workers[number].known.filter(|known| known.health(self.now) == Health::Ready)?;
        let used = self.used(number);
        let is_open = used < known.capacity && !exclude.contains(&number) && fits(number, kind);
        is_open.then(|| (used as f64 / known.capacity as f64, self.workers[number].turn))
    }

    async fn reserve(&mut self, kind: Option<usize>, exclude: &[usize], ttl: Duration) {
        let request = ReserveRequest {
            lease: LeaseId::generate(),
            wanted: Wanted { language: "en".into(), model: kind.map(|kind| MODELS[kind].to_owned()) },
            ttl,
            exclude: exclude.iter().map(|&number| self.workers[number].id.clone()).collect(),
        };
        let ranks: Vec<Option<(f64, usize)>> = (0..WORKERS).map(|number| self.rank(number, kind, exclude)).collect();
        let open: Vec<(f64, usize)> = ranks.iter().flatten().copied().collect();
        match self.registry.reserve(&request).await {
            Ok(reservation) => {
                let by_id = |worker: &Worker| worker.id == reservation.worker_id;
                let worker = self.workers.iter().position(by_id).expect("only known workers are chosen");
                let least = open.iter().copied().reduce(|one, other| if other < one { other } else { one });
                assert_eq!(ranks[worker], least, "not the least loaded, chosen longest ago, of {ranks:?}");
                assert_eq!(reservation.candidates, open.len());
                let lease = Lease { id: request.lease, worker_id: reservation.worker_id, ttl };
                self.leases.push(Held { lease, worker, until: Some(self.now + ttl) });
                // As many as there were reservations.
                self.workers[worker].turn = self.leases.len();
            }
            Err(error) => {
                assert!(open.is_empty(), "there was room: {open:?}");
                self.check_refusal(&error, kind);
            }
        }
    }

    /// That it says why there is no room, and for how long.
    fn check_refusal(&self, error: &ReserveError, kind: Option<usize>) {
        let known = |number: &usize| self.workers[*number].known;
        let present: Vec<usize> = (0..WORKERS).filter(|number| known(number).is_some()).collect();
        let fitting: Vec<Known> = present.iter().filter(|number| fits(**number, kind)).filter_map(known).collect();
        let until = |known: &Known| match known.health(self.now) {
            Health::Ready => Some(RegistryTimes::BUSY_RETRY),
            Health::Suspect => Some(known.suspect_until?.saturating_sub(self.now).max(RegistryTimes::MIN_RETRY)),
            Health::Lost => Some(TIMES.retry_lost()),
            Health::Draining => None,
        };
        let soonest = match present[..] {
            [] => Some(TIMES.retry_lost()),
            _ => fitting.iter().filter_map(until).min(),
        };
        match error {
            ReserveError::NoSuchModel { .. } => assert!(fitting.is_empty() && !present.is_empty()),
            ReserveError::Draining => assert!(!fitting.is_empty() && soonest.is_none()),
            ReserveError::NoCapacity { retry_after } => {
                let soonest = soonest.expect("somebody may have room again");
                assert!(
                    (soonest.saturating_sub(UNIT / 2)..=soonest).contains(retry_after),
                    "{error:?} and {soonest:?}"
                );
            }
            error => panic!("all workers have the language: {error}"),
        }
    }

    async fn renew(&mut self, modulo: usize, remainder: usize) {
        let batch: Vec<usize> = (remainder..self.leases.len()).step_by(modulo).collect();
        let renewed: Vec<Lease> = batch.iter().map(|&at| self.leases[at].lease.clone()).collect();
        self.registry.renew(&renewed).await.expect("the registry answers");
        for at in batch {
            let Held { lease, worker, until } = &self.leases[at];
            let has_room = self.workers[*worker].known.is_some_and(|known| self.used(*worker) < known.capacity);
            if until.is_some() || has_room {
                self.leases[at].until = Some(self.now + lease.ttl);
            }
        }
    }

    async fn pass(&mut self, time: Duration) {
        (self.pass)(time).await;
        self.now += time;
        let now = self.now;
        for number in 0..WORKERS {
            let worker = &mut self.workers[number];
            let is_gone = worker.known.is_none_or(|known| known.seen + TIMES.forget_after <= now);
            if is_gone {
                worker.leave();
            }
            self.end_leases(|held| held.worker == number && (is_gone || held.until.is_some_and(|until| until <= now)));
        }
    }

    /// What the registry says is what the model says.
    async fn check(&self) {
        let mut stated = self.registry.workers().await.expect("the registry answers");
        for number in 0..WORKERS {
            let Worker { id, known, .. } = &self.workers[number];
            let at = stated.iter().position(|status| status.worker_id == *id);
            let stated =
                at.map(|at| stated.swap_remove(at)).map(|status| (status.health, status.capacity, status.used));
            assert_eq!(stated, known.map(|known| (known.health(self.now), known.capacity, self.used(number))));
        }
        assert!(stated.is_empty(), "workers out of nowhere: {stated:?}");
    }
}

/// Plays random histories, each to a subject of its own.
pub(super) fn play_all(cases: u32, subject: impl AsyncFn() -> Subject, runtime: &tokio::runtime::Runtime) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(events in events())| {
        runtime.block_on(async { play(subject().await, events).await });
    });
}

#[test]
fn no_history_leaks_a_slot_or_sells_it_twice() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let subject = async || Subject {
        registry: Arc::new(InProcessRegistry::new(TIMES)),
        times: TIMES,
        pass: Box::new(|time| Box::pin(tokio::time::advance(time))),
    };
    play_all(512, subject, &runtime.expect("a runtime starts"));
}
