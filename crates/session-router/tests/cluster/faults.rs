//! Redis goes away and comes back while sessions are live.

use std::time::{Duration, Instant};

use dalston_redis::testing::RedisServer;
use tokio::time::sleep;

use super::stage::{Gateway, LEASE, TIMES, Worker};

/// Two sessions on a worker of three slots.
async fn stage(redis: &RedisServer) -> (Worker, Gateway) {
    let worker = Worker::start(redis, 3).await;
    let mut gateway = Gateway::start(redis).await;
    for _ in 0..2 {
        gateway.open().await.expect("there is room");
    }
    (worker, gateway)
}

/// Both sessions live, and exactly one slot is free.
async fn is_whole(worker: Worker, mut gateway: Gateway) {
    let workers = [worker];
    gateway.agrees_with(&workers).await;
    assert_eq!((gateway.open_sessions(), workers[0].live()), (2, 2));
    gateway.open().await.expect("a slot is free");
    assert_eq!(gateway.open().await.expect_err("none is free").close().code.as_u16(), 4503);
    // Longer than any lease lives that nobody renews.
    sleep(LEASE + TIMES.worker_ttl).await;
    gateway.agrees_with(&workers).await;
    assert_eq!((gateway.open_sessions(), gateway.ended.lock().len()), (3, 0));
    for _ in 0..3 {
        gateway.hang_up(0).await;
    }
    gateway.agrees_with(&workers).await;
    assert_eq!(workers[0].live(), 0);
}

/// A wish while nobody can grant it.
async fn is_refused(gateway: &Gateway) {
    let began = Instant::now();
    let error = gateway.allocate().await.expect_err("nobody knows the workers");
    assert_eq!((error.close().code.as_u16(), error.retry_after), (4503, Some(1.0)));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_for_longer_than_any_lease_ends_no_session() {
    let redis = RedisServer::start();
    let (worker, gateway) = stage(&redis).await;
    redis.stop();
    is_refused(&gateway).await;
    sleep(LEASE + TIMES.worker_ttl).await;
    redis.cont();
    is_whole(worker, gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_told_who_has_which_slot() {
    let mut redis = RedisServer::start();
    let (worker, gateway) = stage(&redis).await;
    redis.kill();
    is_refused(&gateway).await;
    sleep(LEASE).await;
    redis.restart();
    is_whole(worker, gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_under_way_is_told_who_has_which_slot() {
    let redis = RedisServer::start();
    let (worker, gateway) = stage(&redis).await;
    // Again and again, so that gateways renew before the worker is back, and after.
    for _ in 0..8 {
        redis.ask(&["FLUSHALL"]);
        sleep(LEASE / 5).await;
    }
    is_whole(worker, gateway).await;
}
