//! What goes in comes out, once.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{Subject, soon};
use crate::{BrokerError, MAX_BODY};

/// Every field.
pub async fn a_claim_says_what_was_published_and_who_has_it(subject: Subject) {
    subject.publish("q", "what is to be done \u{1F600}\n").await;
    let delivery = subject.claim("a", &["q"]).await.expect("it is there");
    assert_eq!(delivery.body, "what is to be done \u{1F600}\n");
    assert_eq!(delivery.claim.queue, "q");
    assert_eq!(delivery.claim.consumer, "a");
    assert_eq!(delivery.claim.deliveries, 1);
    assert!(delivery.waited < subject.lease, "{:?}", delivery.waited);
}

/// First in, first out.
pub async fn messages_come_in_the_order_of_publication(subject: Subject) {
    for body in ["1", "2", "3"] {
        subject.publish("q", body).await;
    }
    for body in ["1", "2", "3"] {
        assert_eq!(subject.take().await.body, body);
    }
}

/// Nothing is taken for a repetition.
pub async fn the_same_body_twice_is_two_messages(subject: Subject) {
    subject.publish("q", "same").await;
    subject.publish("q", "same").await;
    let (first, second) = (subject.take().await, subject.take().await);
    assert_ne!(first.claim.id, second.claim.id);
    assert!(subject.acknowledge(&first.claim).await);
    assert!(subject.acknowledge(&second.claim).await);
}

/// While the lease lasts.
pub async fn a_claimed_message_is_nobody_elses(subject: Subject) {
    subject.publish("q", "m").await;
    subject.take().await;
    assert_eq!(subject.claim("a", &["q"]).await, None);
    assert_eq!(subject.claim("b", &["q"]).await, None);
}

/// Only the queues that were named.
pub async fn a_claim_leaves_other_queues_alone(subject: Subject) {
    subject.publish("other", "m").await;
    assert_eq!(subject.claim("a", &["q"]).await, None);
    assert_eq!(subject.claim("a", &[]).await, None);
    let delivery = subject.claim("a", &["q", "other"]).await.expect("it is there");
    assert_eq!(delivery.claim.queue, "other");
}

/// Not even after its lease would have ended.
pub async fn an_acknowledged_message_never_comes_back(subject: Subject) {
    subject.publish("q", "m").await;
    let delivery = subject.take().await;
    assert!(subject.acknowledge(&delivery.claim).await);
    subject.outlive().await;
    assert_eq!(subject.claim("b", &["q"]).await, None);
}

/// Whichever of them is named first.
pub async fn a_full_queue_does_not_starve_another(subject: Subject) {
    for queue in ["full", "full", "full", "full", "other", "other", "third"] {
        subject.publish(queue, "m").await;
    }
    let mut served = BTreeSet::new();
    for _ in 0..3 {
        let delivery = subject.claim("a", &["full", "other", "third"]).await.expect("there are seven");
        served.insert(delivery.claim.queue);
    }
    assert_eq!(served.len(), 3, "{served:?}");
}

/// Each is claimed by one of them, and none is left.
pub async fn concurrent_consumers_never_share_a_message(subject: Subject) {
    for number in 0..40 {
        subject.publish("q", &number.to_string()).await;
    }
    let consumer = |number: usize| {
        let subject = &subject;
        async move {
            let mut claimed = Vec::new();
            while let Some(delivery) = subject.claim(&format!("consumer-{number}"), &["q"]).await {
                claimed.push(delivery.body);
                tokio::task::yield_now().await;
            }
            claimed
        }
    };
    let all = soon("the end of the queue", join_all((0..8).map(consumer))).await.concat();
    assert_eq!(all.len(), 40);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 40, "{all:?}");
}

/// What was accepted is still there, claimed or not.
pub async fn a_full_broker_refuses_and_loses_nothing(subject: Subject) {
    for number in 0..subject.capacity {
        subject.publish(["q", "other"][number % 2], &number.to_string()).await;
    }
    let claimed = subject.take().await;
    let refused = subject.broker.publish("q", "one more".into()).await;
    assert_eq!(refused, Err(BrokerError::Full { limit: subject.capacity }));
    let mut bodies = vec![claimed.body];
    while let Some(delivery) = subject.claim("a", &["q", "other"]).await {
        bodies.push(delivery.body);
    }
    let mut numbers: Vec<usize> = bodies.iter().filter_map(|body| body.parse().ok()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..subject.capacity).collect::<Vec<_>>());
}

/// A release does not: the message is still there.
pub async fn an_acknowledgement_makes_room(subject: Subject) {
    for _ in 0..subject.capacity {
        subject.publish("q", "m").await;
    }
    let delivery = subject.take().await;
    assert!(subject.release(&delivery.claim).await);
    assert!(subject.broker.publish("q", "m".into()).await.is_err());
    let delivery = subject.take().await;
    assert!(subject.acknowledge(&delivery.claim).await);
    subject.publish("q", "m").await;
}

/// And the longest is not.
pub async fn a_body_that_is_too_long_is_refused(subject: Subject) {
    let refused = subject.broker.publish("q", "x".repeat(MAX_BODY + 1)).await;
    assert_eq!(refused, Err(BrokerError::TooLong { bytes: MAX_BODY + 1 }));
    subject.publish("q", &"x".repeat(MAX_BODY)).await;
    assert_eq!(subject.take().await.body.len(), MAX_BODY);
}
