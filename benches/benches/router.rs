//! Allocation in one process, with half of all slots taken: what the registry does, and all that a session waits for.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod thread_time;

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dalston_engine_sdk::{Capabilities, Languages};
use dalston_protocol::{LeaseId, RequestId, SessionId, WorkerId, realtime::SessionConfig};
use dalston_session_router::{
    Address, InProcessRegistry, Registry, RegistryTimes, ReserveRequest, RouterSettings, SessionRequest, SessionRouter,
    Wanted, WorkerRecord,
    link::{WorkerPort, in_process},
};
use dalston_telemetry::{Metrics, TraceContext, Tracers};
use thread_time::{ThreadTime, short};
use tokio::runtime::Runtime;

const WORKERS: [usize; 3] = [1, 64, 1_000];
const SLOTS: usize = 50;
/// Longer than the benchmark: nobody sends heartbeats or renews leases here.
const FOREVER: Duration = Duration::from_secs(24 * 3600);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime needs nothing")
}

/// A registry with so many workers, and their ids.
async fn registry(workers: usize) -> (Arc<InProcessRegistry>, Vec<WorkerId>) {
    let times = RegistryTimes { worker_ttl: FOREVER, forget_after: FOREVER };
    let registry = Arc::new(InProcessRegistry::new(times));
    let ids: Vec<_> = (0..workers).map(|_| WorkerId::generate()).collect();
    for worker_id in ids.iter().cloned() {
        let record = WorkerRecord { worker_id, address: Address::InProcess, capacity: SLOTS, engines: vec![engine()] };
        registry.register(record).await.expect("it is in this process");
    }
    for _ in 0..workers * SLOTS / 2 {
        registry.reserve(&wish()).await.expect("half of the slots are free");
    }
    (registry, ids)
}

fn engine() -> Capabilities {
    Capabilities {
        engine_id: "echo".into(),
        model: "echo".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["de".into(), "en".into()]),
        partials: true,
        word_timestamps: true,
        confidence: true,
        vocabulary: false,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    }
}

fn wish() -> ReserveRequest {
    let wanted = Wanted { language: "en".into(), model: None };
    ReserveRequest { lease: LeaseId::generate(), wanted, ttl: FOREVER, exclude: Vec::new() }
}

fn reservation(criterion: &mut Criterion<ThreadTime>) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("reserve and release");
    for workers in WORKERS {
        let (registry, _) = runtime.block_on(registry(workers));
        group.bench_function(BenchmarkId::from_parameter(workers), |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let begun = ThreadTime::now();
                    for _ in 0..rounds {
                        let wish = wish();
                        registry.reserve(&wish).await.expect("there is room");
                        registry.release(&wish.lease).await.expect("it is in this process");
                    }
                    ThreadTime::since(begun)
                })
            });
        });
    }
    group.finish();
}

fn allocation(criterion: &mut Criterion<ThreadTime>) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("allocate and release");
    for workers in WORKERS {
        let router = runtime.block_on(async {
            let (registry, ids) = registry(workers).await;
            let settings = RouterSettings { lease_ttl: FOREVER, ..RouterSettings::default() };
            let router = SessionRouter::new(registry, settings, Tracers::off(), Arc::new(Metrics::new()));
            for id in ids {
                let (link, port) = in_process();
                router.links().insert(id, Arc::new(link));
                tokio::spawn(accept_all(port));
            }
            router
        });
        let request = || SessionRequest {
            session_id: SessionId::generate(),
            request_id: RequestId::generate(),
            tenant: "anonymous".into(),
            config: SessionConfig::default(),
        };
        group.bench_function(BenchmarkId::from_parameter(workers), |bencher| {
            bencher.iter_custom(|rounds| {
                runtime.block_on(async {
                    let requests: Vec<SessionRequest> = (0..rounds).map(|_| request()).collect();
                    let begun = ThreadTime::now();
                    for request in requests {
                        let allocated = router.allocate(request, &TraceContext::none()).await.expect("there is room");
                        allocated.lease.release().await;
                    }
                    ThreadTime::since(begun)
                })
            });
        });
    }
    group.finish();
}

/// A worker that takes every session and does nothing with it.
async fn accept_all(mut port: WorkerPort) {
    let mut _latest = None;
    while let Some(incoming) = port.next().await {
        _latest = incoming.accept();
    }
}

criterion_group! {
    name = benches;
    config = short();
    targets = reservation, allocation
}
criterion_main!(benches);
