//! Wake-ups.

use futures_util::future::join;
use tokio::time::timeout;

use super::{Subject, soon};
use crate::Subscription;

impl Subject {
    async fn subscribe(&self, topic: &str) -> Subscription {
        self.broker.subscribe(topic).await.expect("the broker answers")
    }

    async fn notify(&self, topic: &str) {
        self.broker.notify(topic).await.expect("the broker answers");
    }

    async fn sleeps(&self, subscription: &mut Subscription) -> bool {
        timeout(self.lease, subscription.next()).await.is_err()
    }
}

/// Whether it waits already or looks later, and every time anew.
pub async fn a_subscriber_is_woken(subject: Subject) {
    let mut subscription = subject.subscribe("job.1").await;
    subject.notify("job.1").await;
    assert_eq!(soon("a wake-up", subscription.next()).await, Some(()));
    assert!(subject.sleeps(&mut subscription).await, "it was woken once");
    let (woken, ()) = join(soon("a wake-up", subscription.next()), subject.notify("job.1")).await;
    assert_eq!(woken, Some(()));
}

/// Each for itself.
pub async fn every_subscriber_is_woken(subject: Subject) {
    let mut first = subject.subscribe("job.1").await;
    let mut second = subject.subscribe("job.1").await;
    subject.notify("job.1").await;
    assert_eq!(soon("a wake-up", first.next()).await, Some(()));
    drop(first);
    assert_eq!(soon("a wake-up", second.next()).await, Some(()));
    subject.notify("job.1").await;
    assert_eq!(soon("a wake-up", second.next()).await, Some(()));
}

/// Though not after each: what it has not looked at does not pile up.
pub async fn a_slow_subscriber_is_woken_after_the_last_change(subject: Subject) {
    let mut subscription = subject.subscribe("job.1").await;
    for _ in 0..10_000 {
        subject.notify("job.1").await;
    }
    assert_eq!(soon("a wake-up", subscription.next()).await, Some(()));
    let mut more = 0;
    while !subject.sleeps(&mut subscription).await {
        more += 1;
    }
    assert!(more < 100, "{more} wake-ups had piled up");
}

/// Also of one whose name begins alike.
pub async fn a_subscriber_of_another_topic_sleeps_on(subject: Subject) {
    let mut subscription = subject.subscribe("job.1").await;
    subject.notify("job.12").await;
    subject.notify("job.*").await;
    assert!(subject.sleeps(&mut subscription).await);
}

/// It is no error.
pub async fn nobody_has_to_listen(subject: Subject) {
    subject.notify("job.1").await;
    drop(subject.subscribe("job.1").await);
    subject.notify("job.1").await;
}
