//! Several processes on one server: each has a broker of its own.

use std::time::{Duration, Instant};

use dalston_broker::{Broker, RedisBroker};
use dalston_redis::{Redis, Settings, testing::RedisServer};
use tokio::time::timeout;

use crate::support::{LONG, SOON, broker, claim};

/// The one who waits has found nothing by now: nobody tells when.
async fn has_looked() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn who_waits_is_woken_by_what_another_machine_publishes_and_releases() {
    const ROUNDS: u32 = 20;
    let server = RedisServer::start();
    let (here, there) = (broker(&server, 100), broker(&server, 100));
    // The first wait of a process may begin before its bell can be heard.
    assert_eq!(claim(&here, "a", LONG, Duration::from_millis(100)).await, Ok(None));
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let (claimed, published) = tokio::join!(claim(&here, "a", LONG, SOON), async {
            has_looked().await;
            there.publish("q", "m".into()).await
        });
        published.unwrap();
        let delivery = claimed.unwrap().expect("it was published");
        let (again, released) = tokio::join!(claim(&here, "a", LONG, SOON), async {
            has_looked().await;
            there.release(&delivery.claim).await
        });
        assert_eq!(released, Ok(true));
        let again = again.unwrap().expect("it was released");
        assert_eq!(
            there.acknowledge(&again.claim).await,
            Ok(true),
            "the claim is fenced by what it says, not by who asks"
        );
    }
    // Unwoken looks are a second apart: by them alone either half would take 20 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_subscriber_hears_other_machines_and_other_prefixes_are_other_brokers() {
    let server = RedisServer::start();
    let (here, there) = (broker(&server, 100), broker(&server, 100));
    let redis = Redis::open(&server.url(), Settings::default()).unwrap();
    let other = RedisBroker::new(&redis, "other", 100);
    let mut subscription = here.subscribe("job.1").await.unwrap();
    let mut elsewhere = other.subscribe("job.1").await.unwrap();
    there.notify("job.1").await.unwrap();
    assert_eq!(timeout(SOON, subscription.next()).await.expect("it is woken"), Some(()));
    there.publish("q", "m".into()).await.unwrap();
    assert_eq!(claim(&other, "a", LONG, Duration::ZERO).await, Ok(None));
    assert_eq!(other.queues().await, Ok(Vec::new()));
    // Both were published on one server by now, in this order.
    other.notify("job.1").await.unwrap();
    timeout(SOON, elsewhere.next()).await.expect("it is woken");
    assert!(timeout(Duration::from_millis(50), elsewhere.next()).await.is_err(), "woken once");
}

#[tokio::test]
async fn a_machine_that_waits_only_now_and_then_costs_nobody_a_message() {
    let server = RedisServer::start();
    let (here, gone) = (broker(&server, 100), broker(&server, 100));
    let waiting = tokio::spawn(async move { claim(&gone, "gone", LONG, LONG).await.map(drop) });
    assert_eq!(claim(&here, "a", LONG, Duration::from_millis(100)).await, Ok(None));
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    here.publish("q", "m".into()).await.unwrap();
    assert_eq!(claim(&here, "a", LONG, SOON).await.unwrap().expect("it was published").claim.deliveries, 1);
}

#[tokio::test]
async fn a_subscription_ends_with_the_broker() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    let mut subscription = broker.subscribe("job.1").await.unwrap();
    drop(broker);
    assert_eq!(timeout(SOON, subscription.next()).await.expect("it ends"), None);
}
