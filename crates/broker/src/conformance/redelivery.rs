//! What is not acknowledged comes again.

use super::Subject;

/// To whoever asks next.
pub async fn a_claim_that_is_not_renewed_is_redelivered(subject: Subject) {
    subject.publish("q", "m").await;
    let first = subject.take().await;
    assert_eq!(subject.claim("b", &["q"]).await, None);
    subject.outlive().await;
    let second = subject.claim("b", &["q"]).await.expect("the lease has ended");
    assert_eq!(second.body, "m");
    assert_eq!(second.claim.id, first.claim.id);
    assert_eq!(second.claim.deliveries, 2);
    assert!(second.waited >= subject.lease, "it counts from the publication: {:?}", second.waited);
}

/// As long as it is renewed in time.
pub async fn a_renewed_claim_is_not_redelivered(subject: Subject) {
    subject.publish("q", "m").await;
    let delivery = subject.take().await;
    for _ in 0..5 {
        (subject.pass)(subject.lease / 2).await;
        assert_eq!(subject.claim("b", &["q"]).await, None);
        assert!(subject.renew(&delivery.claim).await);
    }
    assert!(subject.acknowledge(&delivery.claim).await);
}

/// However it came back.
pub async fn every_delivery_is_counted(subject: Subject) {
    subject.publish("q", "m").await;
    for deliveries in 1..=6 {
        let delivery = subject.take().await;
        assert_eq!(delivery.claim.deliveries, deliveries);
        match deliveries % 2 {
            0 => assert!(subject.release(&delivery.claim).await),
            _ => subject.outlive().await,
        }
    }
}

/// Without waiting for the lease.
pub async fn a_released_message_comes_back_at_once(subject: Subject) {
    subject.publish("q", "m").await;
    let delivery = subject.take().await;
    assert!(subject.release(&delivery.claim).await);
    let again = subject.claim("b", &["q"]).await.expect("it was released");
    assert_eq!((again.body.as_str(), again.claim.deliveries), ("m", 2));
}

/// It has waited long enough.
pub async fn what_came_back_goes_before_what_is_new(subject: Subject) {
    for body in ["expired", "released", "new"] {
        subject.publish("q", body).await;
    }
    subject.take().await;
    subject.outlive().await;
    assert_eq!(subject.take().await.body, "expired");
    let released = subject.take().await;
    assert_eq!(released.body, "released");
    assert!(subject.release(&released.claim).await);
    assert_eq!(subject.take().await.body, "released");
    assert_eq!(subject.take().await.body, "new");
}

/// And the others go on meanwhile.
pub async fn a_dead_consumer_loses_all_it_had(subject: Subject) {
    for number in 0..10 {
        subject.publish("q", &number.to_string()).await;
    }
    for _ in 0..5 {
        subject.claim("dead", &["q"]).await.expect("there are ten");
    }
    let mut done = Vec::new();
    for _ in 0..2 {
        while let Some(delivery) = subject.claim("b", &["q"]).await {
            assert!(subject.acknowledge(&delivery.claim).await);
            done.push(delivery.body);
        }
        subject.outlive().await;
    }
    done.sort_unstable();
    assert_eq!(done, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}
