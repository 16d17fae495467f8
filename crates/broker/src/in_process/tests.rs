use std::sync::Arc;

use super::*;
use crate::conformance::Subject;

async fn subject() -> Subject {
    let capacity = 200;
    let pass = |time| tokio::time::advance(time).boxed();
    let broker = Arc::new(InProcessBroker::new(capacity));
    Subject { broker, capacity, lease: Duration::from_secs(30), pass, world: Box::new(()) }
}

crate::broker_conformance!(tokio::test(start_paused = true), subject);

#[tokio::test(start_paused = true)]
async fn a_topic_is_forgotten_with_its_last_subscription() {
    let broker = InProcessBroker::default();
    let first = broker.subscribe("job.1").await.unwrap();
    let second = broker.subscribe("job.1").await.unwrap();
    drop(first);
    assert_eq!(broker.topics.len(), 1);
    drop(second);
    assert_eq!(broker.topics.len(), 0);
    broker.notify("job.2").await.unwrap();
    assert_eq!(broker.topics.len(), 0, "nobody listens, so nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_with_the_broker() {
    let broker = InProcessBroker::default();
    let mut subscription = broker.subscribe("job.1").await.unwrap();
    drop(broker);
    assert_eq!(subscription.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn what_an_abandoned_wait_was_given_goes_back_uncounted() {
    let (broker, lease) = (InProcessBroker::default(), Duration::from_secs(30));
    let queues = ["q".to_owned()];
    tokio::select! {
        biased;
        claimed = broker.claim(&queues, "gone", lease, lease) => panic!("there was nothing: {claimed:?}"),
        published = broker.publish("q", "m".into()) => published.unwrap(),
    }
    let delivery = broker.claim(&queues, "here", lease, Duration::ZERO).await.unwrap().expect("it went back");
    assert_eq!(delivery.claim.deliveries, 1);
}

#[tokio::test(start_paused = true)]
async fn times_beyond_all_bounds_are_only_long() {
    let broker = InProcessBroker::default();
    broker.publish("q", "m".into()).await.unwrap();
    let delivery = broker.claim(&["q".to_owned()], "a", Duration::MAX, Duration::MAX).await.unwrap().expect("ready");
    assert!(broker.renew(&delivery.claim, Duration::MAX).await.unwrap());
}
