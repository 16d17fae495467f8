//! What is left in the server.

use std::{sync::Arc, time::Duration};

use dalston_broker::Broker;
use dalston_redis::testing::RedisServer;

use crate::support::{LONG, broker, claim};

#[tokio::test]
async fn ten_thousand_messages_that_are_done_leave_nothing_behind() {
    const MESSAGES: usize = 10_000;
    let server = RedisServer::start();
    let broker = Arc::new(broker(&server, MESSAGES));
    let used = || server.ask(&["MEMORY", "USAGE", "{test:broker}:queue:q"]).parse::<usize>().unwrap_or(0);
    let work = (0..8).map(|consumer| {
        let broker = broker.clone();
        tokio::spawn(async move {
            for number in 0..MESSAGES / 8 {
                broker.publish("q", number.to_string()).await.unwrap();
                // Names as processes have them: another after each restart.
                let name = format!("consumer-{consumer}-{}", number / 10);
                let delivery = claim(&broker, &name, LONG, LONG).await.unwrap().expect("there are as many as we are");
                assert_eq!(broker.acknowledge(&delivery.claim).await, Ok(true));
            }
        })
    });
    for worker in work.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert!(used() < 2_000, "{} bytes", used());
    assert_eq!(server.ask(&["XLEN", "{test:broker}:queue:q"]), "0");
    assert_eq!(server.ask(&["XINFO", "CONSUMERS", "{test:broker}:queue:q", "workers"]), "");
    let mut keys: Vec<_> = server.ask(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["{test:broker}:queue:q", "{test:broker}:served"]);
}

#[tokio::test]
async fn who_finds_nothing_leaves_no_name_and_writes_nothing() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    for queue in ["q", "r"] {
        broker.publish(queue, "m".into()).await.unwrap();
        let delivery = broker.claim(&[queue.to_owned()], "a", LONG, LONG).await.unwrap().expect("it was published");
        assert_eq!(broker.acknowledge(&delivery.claim).await, Ok(true));
    }
    let written = || {
        let info = server.ask(&["INFO", "persistence"]);
        info.lines()
            .find_map(|line| line.strip_prefix("rdb_changes_since_last_save:").map(str::to_owned))
            .expect("it counts")
    };
    let before = written();
    let queues = ["q".to_owned(), "r".to_owned(), "never used".to_owned()];
    for number in 0..50 {
        let consumer = format!("consumer-{number}");
        assert_eq!(broker.claim(&queues, &consumer, LONG, Duration::from_millis(1)).await, Ok(None));
    }
    assert_eq!(broker.queues().await.unwrap().len(), 2);
    assert_eq!(written(), before);
    assert_eq!(server.ask(&["XINFO", "CONSUMERS", "{test:broker}:queue:q", "workers"]), "");
}

#[tokio::test]
async fn an_operator_sees_who_has_what_and_since_when_it_was_not_renewed() {
    let server = RedisServer::start();
    let broker = broker(&server, 100);
    broker.publish("q", "m".into()).await.unwrap();
    let delivery = claim(&broker, "runner-1", LONG, Duration::ZERO).await.unwrap().expect("it was published");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(broker.renew(&delivery.claim, LONG).await, Ok(true));
    let pending = server.ask(&["XPENDING", "{test:broker}:queue:q", "workers", "-", "+", "10"]);
    let [id, consumer, idle, deliveries] = pending.lines().collect::<Vec<_>>()[..] else { panic!("{pending}") };
    assert_eq!((id, consumer, deliveries), (delivery.claim.id.as_str(), "runner-1", "1"));
    assert!(idle.parse::<u64>().unwrap() < 300, "{idle} ms");
}

#[tokio::test]
async fn what_is_not_done_is_never_trimmed() {
    let server = RedisServer::start();
    let broker = broker(&server, 1_000);
    for number in 0..300 {
        broker.publish("q", number.to_string()).await.unwrap();
    }
    // The first is kept, all others are done.
    let kept = claim(&broker, "a", LONG, Duration::ZERO).await.unwrap().expect("there are 300");
    for _ in 1..300 {
        let delivery = claim(&broker, "b", LONG, Duration::ZERO).await.unwrap().expect("there are 300");
        assert_eq!(broker.acknowledge(&delivery.claim).await, Ok(true));
    }
    assert_eq!(server.ask(&["XLEN", "{test:broker}:queue:q"]), "1");
    assert_eq!(broker.release(&kept.claim).await, Ok(true));
    assert_eq!(claim(&broker, "b", LONG, Duration::ZERO).await.unwrap().expect("it was released").body, "0");
}
