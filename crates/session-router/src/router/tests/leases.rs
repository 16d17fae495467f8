//! What the router keeps and gives back.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::time::{Duration, Instant};

use super::stage::{Manner, Stage, pass};
use crate::RouterSettings;

const TTL: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_held_lease_lives_as_long_as_its_session() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    pass(TTL * 10).await;
    assert_eq!(stage.used().await, 1);
    assert_eq!(allocated.lease.lost().now_or_never(), None);
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
async fn a_lost_lease_is_told_to_its_session_and_to_no_other() {
    let stage = Stage::new();
    let (one, _two) = (stage.worker(1, Manner::Accepts).await, stage.worker(1, Manner::Accepts).await);
    let (first, second) = (stage.allocate().await.expect("room"), stage.allocate().await.expect("room"));
    let (lost, kept) = if first.worker_id == one.id { (first, second) } else { (second, first) };
    one.membership.leave().await.expect("the registry answers");
    let begun = Instant::now();
    lost.lease.lost().await;
    assert!(begun.elapsed() <= TTL / 3, "the next renewal finds out");
    lost.lease.lost().await;
    assert_eq!(kept.lease.lost().now_or_never(), None);
    drop(lost);
    stage.settle().await;
    assert_eq!(stage.registry.releases.load(Ordering::SeqCst), 0, "there is nothing left to release");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_crashes_loses_its_leases_within_its_heartbeats_and_one_renewal() {
    let stage = Stage::new();
    let worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    drop(worker);
    let begun = Instant::now();
    allocated.lease.lost().await;
    assert!(begun.elapsed() <= Duration::from_secs(9) + TTL / 3, "{:?}", begun.elapsed());
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
    assert_eq!(allocated.lease.lost().now_or_never(), None);
    assert_eq!(stage.used().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_ends_no_session_before_it_is_back() {
    let stage = Stage::new();
    let _worker = stage.worker(1, Manner::Accepts).await;
    let allocated = stage.allocate().await.expect("there is room");
    stage.registry.away.store(true, Ordering::SeqCst);
    pass(TTL * 10).await;
    assert_eq!(allocated.lease.lost().now_or_never(), None);
    // This one went on without us, and gave nobody's time back.
    stage.registry.away.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    allocated.lease.lost().await;
    assert!(begun.elapsed() <= TTL / 3, "the next renewal finds out");
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
