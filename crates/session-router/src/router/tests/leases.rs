//! What the router keeps and gives back.

use std::sync::atomic::Ordering;

use dalston_telemetry::TraceContext;
use tokio::{task::yield_now, time::Duration};

use super::stage::{Manner, Stage, Worker, pass};
use crate::{Membership, RegistryTimes, RouterSettings};

const TTL: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_held_lease_lives_as_long_as_its_session() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    pass(TTL * 10).await;
    assert_eq!(stage.used().await, 1);
    drop(allocated);
}

#[tokio::test(start_paused = true)]
async fn a_released_slot_is_free_before_release_returns() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    for _ in 0..10 {
        let allocated = stage.allocate().await.expect("the slot is free");
        allocated.lease.release().await;
    }
    assert_eq!(stage.registry.releases.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_is_released_exactly_once() {
    let stage = Stage::new();
    let worker = stage.worker(5, Manner::Accepts).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(stage.allocate().await.expect("there is room"));
    }
    drop(held);
    stage.settle().await;
    assert_eq!((stage.used().await, worker.open.load(Ordering::SeqCst)), (0, 0));
    pass(TTL * 2).await;
    assert_eq!(stage.registry.releases.load(Ordering::SeqCst), 5);
    assert!(stage.registry.renewals.lock().is_empty(), "nothing is renewed that nobody holds");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_from_the_registry_keeps_its_slots() {
    let stage = Stage::new();
    let worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    let record = worker.membership.record().clone();
    // Its sessions go on, and its heartbeats do not.
    let Worker { id, open, membership, _serving, .. } = worker;
    drop(membership);
    pass(RegistryTimes::default().forget_after * 2).await;
    assert_eq!((stage.used().await, open.load(Ordering::SeqCst)), (0, 1), "it is forgotten, and serves");
    let membership = Membership::join(stage.registry.clone(), record, Duration::from_secs(3)).await;
    let _back = membership.expect("the registry answers");
    pass(TTL / 3).await;
    assert_eq!((stage.used().await, allocated.worker_id), (1, id), "the next renewal says so");
    assert!(stage.router.allocate(super::stage::request(Default::default()), &TraceContext::none()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_released_while_it_is_renewed_does_not_come_back() {
    let stage = Stage::new();
    let _worker = stage.worker(8, Manner::Accepts).await;
    stage.registry.slow.store(true, Ordering::SeqCst);
    // However the renewal and the releases fall among each other.
    for turns in 0..12 {
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(stage.allocate().await.expect("there is room"));
        }
        let renewals = stage.registry.renewals.lock().len();
        while stage.registry.renewals.lock().len() == renewals {
            pass(Duration::from_millis(1)).await;
        }
        for _ in 0..turns {
            yield_now().await;
        }
        drop(held);
        stage.settle().await;
        assert_eq!(stage.used().await, 0, "{turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_for_one_renewal_is_not_noticed() {
    let settings = RouterSettings { lease_ttl: Duration::from_secs(6), ..RouterSettings::default() };
    let stage = Stage::with(settings);
    let _worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    pass(Duration::from_secs(3)).await;
    stage.registry.away.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(2)).await;
    stage.registry.away.store(false, Ordering::SeqCst);
    pass(Duration::from_secs(60)).await;
    assert_eq!(stage.used().await, 1);
    drop(allocated);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_was_away_is_told_which_sessions_live() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    let _allocated = stage.allocate().await.expect("there is room");
    stage.registry.away.store(true, Ordering::SeqCst);
    pass(TTL * 3).await;
    assert_eq!(stage.used().await, 0, "this one went on without us");
    stage.registry.away.store(false, Ordering::SeqCst);
    pass(TTL / 3).await;
    assert_eq!(stage.used().await, 1, "the next renewal says who lives");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_asks_clients_to_come_back() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    stage.registry.away.store(true, Ordering::SeqCst);
    let error = stage.allocate().await.expect_err("nobody knows the workers");
    assert_eq!((error.close().code.as_u16(), error.retry_after), (4503, Some(1.0)));
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_in_batches_of_bounded_size() {
    let stage = Stage::new();
    let _worker = stage.worker(600, Manner::Accepts).await;
    let mut held = Vec::new();
    for _ in 0..600 {
        held.push(stage.allocate().await.expect("there is room"));
    }
    pass(TTL / 3 + Duration::from_millis(10)).await;
    assert_eq!(*stage.registry.renewals.lock(), [256, 256, 88]);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_router_held_is_free_after_one_lease() {
    let Stage { registry, router, .. } = {
        let stage = Stage::new();
        let worker = stage.worker(1, Manner::Accepts).await;
        std::mem::forget(stage.allocate().await.expect("there is room"));
        std::mem::forget(worker);
        stage
    };
    drop(router);
    let used = async || crate::Registry::workers(&*registry).await.expect("it answers")[0].used;
    assert_eq!(used().await, 1);
    pass(TTL + Duration::from_millis(10)).await;
    assert_eq!(used().await, 0);
}
