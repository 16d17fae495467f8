//! What an operator sees of the queues.

use super::Subject;

/// In every queue for itself.
pub async fn stats_count_what_is_ready_and_what_is_claimed(subject: Subject) {
    for queue in ["q", "q", "q", "r"] {
        subject.publish(queue, "m").await;
    }
    let counts = async |queue| {
        let stats = subject.stats(queue).await;
        (stats.ready, stats.claimed)
    };
    assert_eq!(counts("q").await, (3, 0));
    let delivery = subject.take().await;
    subject.take().await;
    assert_eq!(counts("q").await, (1, 2));
    assert!(subject.acknowledge(&delivery.claim).await);
    assert_eq!(counts("q").await, (1, 1));
    assert_eq!(counts("r").await, (1, 0));
    let delivery = subject.claim("a", &["r"]).await.expect("there is one");
    assert!(subject.acknowledge(&delivery.claim).await);
    assert_eq!(counts("r").await, (0, 0), "an empty queue is still listed");
}

/// Since its publication; what is being worked on does not count.
pub async fn stats_tell_the_age_of_the_oldest_that_is_ready(subject: Subject) {
    subject.publish("q", "1").await;
    (subject.pass)(subject.lease / 2).await;
    subject.publish("q", "2").await;
    let oldest = subject.stats("q").await.oldest.expect("two are ready");
    assert!(oldest >= subject.lease / 2, "{oldest:?}");
    let held = subject.take().await;
    let oldest = subject.stats("q").await.oldest.expect("one is ready");
    assert!(oldest < subject.lease / 2, "{oldest:?}");
    assert!(subject.release(&held.claim).await);
    let oldest = subject.stats("q").await.oldest.expect("two are ready");
    assert!(oldest >= subject.lease / 2, "{oldest:?}");
    subject.take().await;
    subject.take().await;
    assert_eq!(subject.stats("q").await.oldest, None);
}

/// Even before somebody asks for it.
pub async fn a_lease_that_ended_counts_as_ready(subject: Subject) {
    subject.publish("q", "m").await;
    subject.take().await;
    subject.outlive().await;
    let stats = subject.stats("q").await;
    assert_eq!((stats.ready, stats.claimed), (1, 0));
    assert!(stats.oldest >= Some(subject.lease), "{:?}", stats.oldest);
}
