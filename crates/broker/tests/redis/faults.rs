//! What happens to the server, and what is left of the promises.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use dalston_broker::{Broker, BrokerError, MAX_BODY};
use dalston_redis::testing::{Launch, RedisServer};
use tokio::time::timeout;

use crate::support::{LONG, SOON, broker, claim, soon};

#[tokio::test]
async fn a_server_that_comes_back_empty_is_used_again_at_once() {
    let mut server = RedisServer::start();
    let broker = broker(&server, 100);
    broker.publish("q", "lost".into()).await.unwrap();
    let lost = claim(&broker, "a", LONG, SOON).await.unwrap().expect("it was published").claim;
    let mut subscription = broker.subscribe("job.1").await.unwrap();

    let waiting = soon(async || claim(&broker, "b", LONG, SOON).await);
    let publishing = async {
        // The other waits by now.
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.restart();
        soon(async || broker.publish("q", "new".into()).await).await;
    };
    let (delivery, ()) = tokio::join!(waiting, publishing);
    let delivery = delivery.expect("it was published");
    assert_eq!((delivery.body.as_str(), delivery.claim.deliveries), ("new", 1));
    for stands in [broker.renew(&lost, LONG).await, broker.release(&lost).await, broker.acknowledge(&lost).await] {
        assert_eq!(stands, Ok(false), "a claim of before is nobody's");
    }
    assert_eq!(broker.acknowledge(&delivery.claim).await, Ok(true));

    // Nobody knows what was missed meanwhile.
    timeout(SOON, subscription.next()).await.expect("it is woken").expect("the broker is there");
    soon(async || broker.notify("job.1").await).await;
    timeout(SOON, subscription.next()).await.expect("it is woken").expect("the broker is there");
}

#[tokio::test]
async fn an_append_only_server_that_is_killed_forgets_neither_messages_nor_claims() {
    let mut server = Launch::default().append_only().start();
    let broker = broker(&server, 1_000);
    for number in 0..100 {
        broker.publish("q", number.to_string()).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(claim(&broker, "a", LONG, Duration::ZERO).await.unwrap().expect("there are a hundred"));
    }
    let released = held.pop().unwrap();
    assert_eq!(broker.release(&released.claim).await, Ok(true));
    let done = held.pop().unwrap();
    assert_eq!(broker.acknowledge(&done.claim).await, Ok(true));

    server.restart();
    let mut bodies = BTreeSet::from([done.body]);
    for delivery in held {
        assert!(soon(async || broker.acknowledge(&delivery.claim).await).await, "it is still ours");
        bodies.insert(delivery.body);
    }
    let again = claim(&broker, "b", LONG, Duration::ZERO).await.unwrap().expect("it was released");
    assert_eq!((&again.body, again.claim.deliveries), (&released.body, 2));
    bodies.insert(again.body);
    while let Some(delivery) = claim(&broker, "b", LONG, Duration::ZERO).await.unwrap() {
        assert!(bodies.insert(delivery.body), "given twice");
    }
    assert_eq!(bodies.len(), 100);
}

#[tokio::test]
async fn a_server_that_stands_still_for_two_seconds_is_waited_for() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    broker.publish("q", "held".into()).await.unwrap();
    let held = claim(&broker, "a", LONG, SOON).await.unwrap().expect("it was published").claim;
    server.stop();
    let start = Instant::now();
    let stall = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.cont();
    };
    let (claimed, published, acknowledged, ()) = tokio::join!(
        claim(&broker, "b", LONG, SOON),
        broker.publish("q", "m".into()),
        broker.acknowledge(&held),
        stall,
    );
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!((published, acknowledged), (Ok(()), Ok(true)));
    assert_eq!(claimed.unwrap().expect("it was published").body, "m");
}

#[tokio::test]
async fn a_server_that_is_gone_fails_every_operation_in_bounded_time() {
    let mut server = RedisServer::start();
    let broker = broker(&server, 100);
    broker.publish("q", "m".into()).await.unwrap();
    let held = claim(&broker, "a", LONG, SOON).await.unwrap().expect("it was published").claim;
    server.kill();
    let start = Instant::now();
    // Those who wait learn it too, long before their wait is over.
    let waiting =
        timeout(SOON, async { tokio::join!(claim(&broker, "b", LONG, LONG), claim(&broker, "c", LONG, LONG)) });
    let (first, second) = waiting.await.expect("both are told");
    assert!(matches!(first, Err(BrokerError::Unavailable(_))) && matches!(second, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.publish("q", "m".into()).await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.renew(&held, LONG).await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.acknowledge(&held).await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.release(&held).await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.queues().await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.notify("job.1").await, Err(BrokerError::Unavailable(_))));
    assert!(matches!(broker.subscribe("job.1").await, Err(BrokerError::Unavailable(_))));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_without_memory_refuses_what_is_new_and_lets_the_rest_be_done() {
    let server = Launch::default().max_memory("4mb").start();
    let broker = broker(&server, 1_000_000);
    let body = "x".repeat(MAX_BODY);
    let mut accepted = 0;
    let refused = loop {
        match broker.publish("q", body.clone()).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, BrokerError::Unavailable("Redis is out of memory".into()));
    assert!(accepted > 10, "{accepted}");
    // Memory is full of messages: who could not claim and acknowledge could never make room.
    for number in 0..accepted {
        let delivery = claim(&broker, "a", LONG, Duration::ZERO).await.unwrap().expect("it was accepted");
        assert_eq!(broker.renew(&delivery.claim, LONG).await, Ok(true));
        if number == 0 {
            assert_eq!(broker.release(&delivery.claim).await, Ok(true));
            continue;
        }
        assert_eq!(broker.acknowledge(&delivery.claim).await, Ok(true));
    }
    broker.publish("q", body).await.unwrap();
    let stats = broker.queues().await.unwrap().remove(0);
    assert_eq!((stats.ready, stats.claimed), (2, 0), "the one that was released and the new one");
}

#[tokio::test]
async fn a_removed_group_is_made_again_and_its_messages_are_everybodys() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    broker.publish("q", "m".into()).await.unwrap();
    let lost = claim(&broker, "a", LONG, SOON).await.unwrap().expect("it was published");
    assert_eq!(server.ask(&["XGROUP", "DESTROY", "{test:broker}:queue:q", "workers"]), "1");
    assert_eq!(broker.acknowledge(&lost.claim).await, Ok(false));
    assert_eq!(broker.queues().await.unwrap()[0].ready, 1);
    let found = claim(&broker, "b", LONG, SOON).await.unwrap().expect("it is still in the stream");
    assert_eq!(found.body, "m");
    assert_eq!(broker.acknowledge(&found.claim).await, Ok(true));
}

#[tokio::test]
async fn a_removed_entry_does_not_hold_up_the_queue() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    for body in ["1", "2"] {
        broker.publish("q", body.into()).await.unwrap();
    }
    let first = claim(&broker, "a", Duration::ZERO, SOON).await.unwrap().expect("it was published");
    assert_eq!(server.ask(&["XDEL", "{test:broker}:queue:q", &first.claim.id]), "1");
    let second = claim(&broker, "b", LONG, SOON).await.unwrap().expect("it was published");
    assert_eq!(second.body, "2");
    assert_eq!(claim(&broker, "b", LONG, Duration::ZERO).await, Ok(None));
    let stats = broker.queues().await.unwrap().remove(0);
    assert_eq!((stats.ready, stats.claimed), (0, 1));
}

#[tokio::test]
async fn an_emptied_stream_does_not_count_for_ever() {
    let server = RedisServer::start();
    let broker = broker(&server, 50);
    for _ in 0..50 {
        broker.publish("q", "m".into()).await.unwrap();
    }
    assert_eq!(broker.publish("q", "m".into()).await, Err(BrokerError::Full { limit: 50 }));
    assert_eq!(server.ask(&["DEL", "{test:broker}:queue:q"]), "1");
    broker.publish("q", "new".into()).await.unwrap();
    assert_eq!(claim(&broker, "a", LONG, SOON).await.unwrap().expect("it was published").body, "new");
}
