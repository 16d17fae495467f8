//! Consumers that die, dawdle and change their minds, from seeds: every message is done, and none twice.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_broker::{Broker, RedisBroker};
use dalston_redis::testing::RedisServer;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{sleep, timeout};

use crate::support::{LONG, broker, claim};

const CONSUMERS: u64 = 8;
const MESSAGES: usize = 1_000;
const LEASE: Duration = Duration::from_millis(400);

/// How often each message was acknowledged.
type Done = Arc<Mutex<BTreeMap<String, usize>>>;

/// One process after another: who dies is followed by one of another name, as a supervisor would start it.
async fn consume(broker: RedisBroker, seed: u64, done: Done) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut life = 0;
    while done.lock().len() < MESSAGES {
        let name = format!("consumer-{seed}-{life}");
        // Some lose patience while they wait, at any moment.
        let patience = Duration::from_micros(rng.random_range(0..20_000));
        let Ok(claimed) = timeout(patience, claim(&broker, &name, LEASE, LONG)).await else { continue };
        let Some(delivery) = claimed.expect("the server is there") else { continue };
        match rng.random_range(0..100) {
            // Dead, with all it had.
            0..5 => life += 1,
            5..10 => drop(broker.release(&delivery.claim).await.expect("the server is there")),
            what => {
                if what < 13 {
                    // Stood still: may be a zombie by now, and may not.
                    sleep(rng.random_range(LEASE / 2..2 * LEASE)).await;
                } else if what < 30 {
                    sleep(Duration::from_millis(rng.random_range(0..3))).await;
                    let _ = broker.renew(&delivery.claim, LEASE).await.expect("the server is there");
                }
                if broker.acknowledge(&delivery.claim).await.expect("the server is there") {
                    *done.lock().entry(delivery.body).or_default() += 1;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_done_once_whoever_dies() {
    let server = RedisServer::start();
    let done = Done::default();
    let seed = 4;
    let consumers: Vec<_> = (0..CONSUMERS)
        // Each with connections of its own, as on a machine of its own.
        .map(|number| tokio::spawn(consume(broker(&server, MESSAGES), seed * CONSUMERS + number, done.clone())))
        .collect();
    let publisher = broker(&server, MESSAGES);
    for number in 0..MESSAGES {
        publisher.publish("q", number.to_string()).await.expect("there is room");
    }
    let start = Instant::now();
    for consumer in consumers {
        let left = LONG.saturating_sub(start.elapsed());
        timeout(left, consumer).await.expect("all are done").expect("no consumer panics");
    }
    {
        let done = done.lock();
        assert_eq!(done.len(), MESSAGES);
        let twice: Vec<_> = done.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "seed {seed}: {twice:?}");
    }
    let stats = publisher.queues().await.unwrap().remove(0);
    assert_eq!((stats.ready, stats.claimed), (0, 0));
}
