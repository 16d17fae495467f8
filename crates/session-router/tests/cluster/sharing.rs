//! Several gateways share several workers.

use dalston_redis::testing::RedisServer;
use dalston_session_router::Health;
use futures_util::future::{join, join_all};

use super::stage::{Gateway, Worker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_sessions_at_once_over_two_empty_workers_split_evenly() {
    let redis = RedisServer::start();
    let (one, two) = join(Worker::start(&redis, 40), Worker::start(&redis, 40)).await;
    let gateways = join_all([Gateway::start(&redis), Gateway::start(&redis)]).await;
    let sessions = join_all((0..40).map(|number| gateways[number % 2].allocate())).await;
    assert!(sessions.iter().all(Result::is_ok), "{sessions:?}");
    assert_eq!((one.live(), two.live()), (20, 20));
    let used = join(gateways[0].used(&one), gateways[1].used(&two)).await;
    assert_eq!(used, (20, 20));
    for session in sessions {
        session.unwrap().lease.release().await;
    }
    gateways[0].agrees_with(&[one, two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_together_sell_exactly_the_slots_there_are() {
    let redis = RedisServer::start();
    let workers = [Worker::start(&redis, 3).await, Worker::start(&redis, 7).await];
    let gateways = join_all((0..3).map(|_| Gateway::start(&redis))).await;
    let wishes = join_all((0..60).map(|number| gateways[number % 3].allocate())).await;
    let got = wishes.iter().filter(|wish| wish.is_ok()).count();
    assert_eq!((got, workers[0].live(), workers[1].live()), (10, 3, 7));
    let refused = wishes.iter().filter_map(|wish| wish.as_ref().err());
    assert!(refused.into_iter().all(|error| error.close().code.as_u16() == 4503 && error.retry_after.is_some()));
}

/// The first to notice tells all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_is_out_at_once_for_all_gateways() {
    let redis = RedisServer::start();
    let (doomed, other) = (Worker::start(&redis, 5).await, Worker::start(&redis, 5).await);
    let (mut one, two) = (Gateway::start(&redis).await, Gateway::start(&redis).await);
    while doomed.live() == 0 {
        one.open().await.expect("there is room");
    }
    let id = doomed.id.clone();
    drop(doomed);
    let health = async || two.workers().await.into_iter().find(|status| status.worker_id == id).unwrap().health;
    while health().await == Health::Ready {
        tokio::task::yield_now().await;
    }
    for _ in 0..3 {
        assert_eq!(two.allocate().await.expect("the other has room").worker_id, other.id);
    }
    assert!(one.ended.lock().contains(&id), "its end was seen on the link");
}
