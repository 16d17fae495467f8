//! A router, its registry, and workers as a test wants them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dalston_protocol::{ApiError, RequestId, SessionId, WorkerId, realtime::SessionConfig};
use dalston_telemetry::{Metrics, Options, RingLimits, SpanCounters, TraceContext, TraceRing, Tracers};
use tokio::task::{JoinSet, yield_now};

use super::watched::Watched;
use crate::{
    Allocated, Health, Membership, Registry, RegistryTimes, RouterSettings, SessionRequest, SessionRouter,
    WorkerStatus,
    conformance::{engine, worker},
    link::{Refusal, SessionOffer, WorkerPort, in_process},
};

pub(super) struct Stage {
    pub(super) registry: Arc<Watched>,
    pub(super) router: SessionRouter,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ring: TraceRing,
}

/// How a worker answers.
#[derive(Debug, Clone)]
pub(super) enum Manner {
    /// Takes every session and keeps it until the client goes.
    Accepts,
    /// Says no.
    Refuses(Refusal),
    /// Takes offers from its port and leaves them lying.
    Silent,
    /// Leaves the first one lying, and takes all others.
    Dawdles,
    /// Its port is gone.
    Dead,
}

/// A worker that keeps up its heartbeats, whatever it does with sessions. Dropping it is its crash.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// What it was offered, in order.
    pub(super) offers: Arc<parking_lot::Mutex<Vec<SessionOffer>>>,
    /// Sessions it has.
    pub(super) open: Arc<AtomicUsize>,
    pub(super) membership: Membership,
    pub(super) _serving: JoinSet<()>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(RouterSettings::default())
    }

    pub(super) fn with(settings: RouterSettings) -> Self {
        let registry = Arc::new(Watched::default());
        let metrics = Arc::new(Metrics::new());
        let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
        let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).expect("a ring needs nothing");
        let ring = tracers.ring().expect("it was asked for").clone();
        let router = SessionRouter::new(registry.clone(), settings, tracers, metrics.clone());
        Self { registry, router, metrics, ring }
    }

    /// Adds a worker with English.
    pub(super) async fn worker(&self, capacity: usize, manner: Manner) -> Worker {
        let record = worker(capacity, vec![engine("echo", "echo-en", &["en"])]);
        let id = record.worker_id.clone();
        let (link, port) = in_process();
        self.router.links().insert(id.clone(), Arc::new(link));
        let every = RegistryTimes::default().worker_ttl / 3;
        let membership = Membership::join(self.registry.clone(), record, every).await.expect("the registry answers");
        let (offers, open) = <(Arc<parking_lot::Mutex<Vec<_>>>, Arc<AtomicUsize>)>::default();
        let mut serving = JoinSet::new();
        serving.spawn(serve(port, manner, offers.clone(), open.clone()));
        // A dead worker's port is gone before anybody comes.
        yield_now().await;
        Worker { id, offers, open, membership, _serving: serving }
    }

    /// As [`Stage::worker`], and it is busier than those that come after it, so that they are tried first.
    pub(super) async fn busy_worker(&self) -> Worker {
        let worker = self.worker(10, Manner::Accepts).await;
        let taken = self.allocate().await.expect("there is room");
        // Held as long as the test runs: what is forgotten is neither renewed in vain nor released.
        std::mem::forget(taken);
        worker.offers.lock().clear();
        worker
    }

    pub(super) async fn allocate(&self) -> Result<Allocated, ApiError> {
        self.router.allocate(request(SessionConfig::default()), &TraceContext::none()).await
    }

    pub(super) async fn status(&self, worker: &Worker) -> WorkerStatus {
        let workers = self.registry.workers().await.expect("the view is never away");
        workers.into_iter().find(|status| status.worker_id == worker.id).expect("it is registered")
    }

    pub(super) async fn health(&self, worker: &Worker) -> Health {
        self.status(worker).await.health
    }

    pub(super) async fn used(&self) -> usize {
        self.registry.workers().await.expect("the view is never away").iter().map(|status| status.used).sum()
    }

    /// Lets every task run as far as it comes while no time passes.
    pub(super) async fn settle(&self) {
        for _ in 0..100 {
            yield_now().await;
        }
    }
}

pub(super) fn request(config: SessionConfig) -> SessionRequest {
    SessionRequest {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        tenant: "anonymous".into(),
        config,
    }
}

/// Lets time pass: the paused clock jumps from timer to timer, so that every task acts at its own time.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn serve(
    mut port: WorkerPort,
    manner: Manner,
    offers: Arc<parking_lot::Mutex<Vec<SessionOffer>>>,
    open: Arc<AtomicUsize>,
) {
    let mut sessions = JoinSet::new();
    let mut lying = Vec::new();
    if matches!(manner, Manner::Dead) {
        return;
    }
    while let Some(incoming) = port.next().await {
        offers.lock().push(incoming.offer.clone());
        match &manner {
            Manner::Dawdles if lying.is_empty() => lying.push(incoming),
            Manner::Accepts | Manner::Dawdles => {
                let Some((_, mut channel)) = incoming.accept() else { continue };
                let open = open.clone();
                open.fetch_add(1, Ordering::SeqCst);
                sessions.spawn(async move {
                    while channel.from_client.recv().await.is_some() {}
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Manner::Refuses(refusal) => incoming.refuse(refusal.clone()),
            Manner::Silent | Manner::Dead => lying.push(incoming),
        }
    }
}
