//! Who lost a claim can do no harm with it.

use super::Subject;
use crate::{Claim, Delivery};

impl Subject {
    /// A claim that was lost to `b`, and what `b` has.
    async fn zombie(&self) -> (Claim, Delivery) {
        self.publish("q", "m").await;
        let lost = self.take().await.claim;
        self.outlive().await;
        let taken = self.claim("b", &["q"]).await.expect("the lease has ended");
        (lost, taken)
    }

    /// `b` still has it, and it is the only one there is.
    async fn is_unharmed(&self, delivery: &Delivery) {
        assert_eq!(self.claim("c", &["q"]).await, None, "the message was given away");
        assert!(self.renew(&delivery.claim).await, "the claim was lost");
        assert!(self.acknowledge(&delivery.claim).await, "the message was lost");
    }
}

/// The message that another works on stays.
pub async fn zombie_acknowledge_is_refused(subject: Subject) {
    let (lost, taken) = subject.zombie().await;
    assert!(!subject.acknowledge(&lost).await);
    subject.is_unharmed(&taken).await;
}

/// It learns that it is one.
pub async fn zombie_renewal_is_refused(subject: Subject) {
    let (lost, taken) = subject.zombie().await;
    assert!(!subject.renew(&lost).await);
    subject.is_unharmed(&taken).await;
}

/// What another works on is not given to a third.
pub async fn zombie_release_is_refused(subject: Subject) {
    let (lost, taken) = subject.zombie().await;
    assert!(!subject.release(&lost).await);
    subject.is_unharmed(&taken).await;
}

/// The name alone does not tell an old claim from a new one: the count of deliveries does.
pub async fn a_zombie_of_the_same_consumer_is_refused(subject: Subject) {
    subject.publish("q", "m").await;
    let lost = subject.take().await.claim;
    subject.outlive().await;
    let taken = subject.take().await;
    assert_eq!(taken.claim.consumer, lost.consumer);
    assert!(!subject.renew(&lost).await);
    assert!(!subject.acknowledge(&lost).await);
    assert!(!subject.release(&lost).await);
    subject.is_unharmed(&taken).await;
}

/// The count of deliveries alone does not make a claim one's own.
pub async fn a_claim_of_another_consumer_is_refused(subject: Subject) {
    subject.publish("q", "m").await;
    let delivery = subject.take().await;
    let forged = Claim { consumer: "b".into(), ..delivery.claim.clone() };
    assert!(!subject.renew(&forged).await);
    assert!(!subject.acknowledge(&forged).await);
    assert!(!subject.release(&forged).await);
    subject.is_unharmed(&delivery).await;
}

/// Everything after it is refused.
pub async fn a_claim_ends_with_its_acknowledgement(subject: Subject) {
    subject.publish("q", "m").await;
    let claim = subject.take().await.claim;
    assert!(subject.acknowledge(&claim).await);
    assert!(!subject.acknowledge(&claim).await);
    assert!(!subject.renew(&claim).await);
    assert!(!subject.release(&claim).await);
    assert_eq!(subject.claim("a", &["q"]).await, None);
}

/// Likewise.
pub async fn a_claim_ends_with_its_release(subject: Subject) {
    subject.publish("q", "m").await;
    let claim = subject.take().await.claim;
    assert!(subject.release(&claim).await);
    assert!(!subject.release(&claim).await);
    assert!(!subject.renew(&claim).await);
    assert!(!subject.acknowledge(&claim).await);
    let next = subject.take().await;
    subject.is_unharmed(&next).await;
}

/// Whatever it names.
pub async fn a_claim_of_nothing_is_refused(subject: Subject) {
    subject.publish("q", "m").await;
    let real = subject.take().await.claim;
    let forgeries = [
        Claim { queue: "never used".into(), ..real.clone() },
        Claim { id: "987654321".into(), ..real.clone() },
        Claim { id: "no number".into(), ..real.clone() },
        Claim { id: String::new(), ..real.clone() },
        Claim { deliveries: 0, ..real.clone() },
        Claim { deliveries: 2, ..real.clone() },
    ];
    for forged in forgeries {
        assert!(!subject.renew(&forged).await, "{forged:?}");
        assert!(!subject.release(&forged).await, "{forged:?}");
        assert!(!subject.acknowledge(&forged).await, "{forged:?}");
    }
    assert!(subject.acknowledge(&real).await);
}
