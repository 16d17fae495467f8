//! Clients that go away while a worker is looked for.

use std::{pin::pin, sync::atomic::Ordering};

use futures_util::FutureExt;
use tokio::task::yield_now;

use super::stage::{Manner, Stage};
use crate::link::Refusal;

/// Polls `future` up to `polls` times while all else runs in between, and drops it then.
async fn abandoned_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let result = future.as_mut().now_or_never();
        if result.is_some() {
            return result;
        }
        yield_now().await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn an_allocation_dropped_at_any_await_leaks_no_slot_and_no_session() {
    for polls in 0..1_000 {
        let stage = Stage::new();
        // Of equals the oldest is tried first: one that is dead, one that is full, and one that takes the session.
        let dead = stage.worker(1, Manner::Refuses(Refusal::Unreachable("gone".into()))).await;
        let full = stage.worker(1, Manner::Refuses(Refusal::Full)).await;
        let good = stage.worker(1, Manner::Accepts).await;
        stage.registry.slow.store(true, Ordering::SeqCst);

        let result = abandoned_after(polls, stage.allocate()).await;
        let complete = result.is_some();
        if let Some(result) = result {
            assert_eq!(result.expect("one worker has room").worker_id, good.id);
            assert!(polls > 10, "there were too few awaits to be interesting");
            assert_eq!([&dead, &full, &good].map(|worker| worker.offers.lock().len()), [1, 1, 1]);
        }
        stage.settle().await;
        let left = (stage.used().await, good.open.load(Ordering::SeqCst));
        assert_eq!(left, (0, 0), "slots and sessions left after {polls} polls");
        if complete {
            return;
        }
    }
    panic!("the allocation never completes");
}

#[tokio::test(start_paused = true)]
async fn a_release_dropped_at_any_await_releases_all_the_same() {
    for polls in 0..10 {
        let stage = Stage::new();
        let _worker = stage.worker(1, Manner::Accepts).await;
        let allocated = stage.allocate().await.expect("there is room");
        stage.registry.slow.store(true, Ordering::SeqCst);
        abandoned_after(polls, allocated.lease.release()).await;
        stage.settle().await;
        assert_eq!(stage.used().await, 0, "after {polls} polls");
    }
}
