//! Nobody looks again and again: who waits is woken.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use futures_util::future::join;

use super::{SOON, Subject, soon};

/// Lets it go as far as it comes at once.
async fn begin<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// After the wait, and not before.
pub async fn nothing_comes_of_an_empty_queue(subject: Subject) {
    let wait = subject.lease / 4;
    let start = tokio::time::Instant::now();
    assert_eq!(subject.wait("a", &["q"], wait).await, None);
    assert!(start.elapsed() >= wait);
}

/// Long before its wait is over.
pub async fn a_waiter_is_woken_by_a_publication(subject: Subject) {
    let (claimed, ()) = join(subject.wait("a", &["q"], SOON), subject.publish("q", "m")).await;
    assert_eq!(claimed.expect("it was published").body, "m");
}

/// Whichever of them it is.
pub async fn a_waiter_is_woken_by_the_last_of_its_queues(subject: Subject) {
    let (claimed, ()) = join(subject.wait("a", &["q", "r", "s"], SOON), subject.publish("s", "m")).await;
    assert_eq!(claimed.expect("it was published").claim.queue, "s");
    // The wait has left the other lines, too.
    subject.publish("q", "m").await;
    assert_eq!(subject.take().await.claim.queue, "q");
}

/// Likewise.
pub async fn a_waiter_is_woken_by_a_release(subject: Subject) {
    subject.publish("q", "m").await;
    let held = subject.take().await;
    let (claimed, released) = join(subject.wait("b", &["q"], SOON), subject.release(&held.claim)).await;
    assert!(released);
    assert_eq!(claimed.expect("it was released").claim.deliveries, 2);
}

/// When whoever had the message has died.
pub async fn a_waiter_is_woken_by_the_end_of_a_lease(subject: Subject) {
    subject.publish("q", "m").await;
    subject.take().await;
    let start = tokio::time::Instant::now();
    let claimed = subject.wait("b", &["q"], SOON).await.expect("the lease ended");
    assert_eq!(claimed.claim.deliveries, 2);
    assert!(start.elapsed() < 2 * subject.lease, "{:?}", start.elapsed());
}

/// The lease was not there to be waited for.
pub async fn a_waiter_sees_the_end_of_a_lease_that_began_after_it_came(subject: Subject) {
    let dies = async {
        subject.wait("dies", &["q"], SOON).await.expect("it was published");
    };
    let lives = async {
        // Second in line.
        tokio::task::yield_now().await;
        subject.wait("lives", &["q"], SOON).await.expect("the lease ended")
    };
    let publish = async {
        (subject.pass)(subject.lease / 10).await;
        subject.publish("q", "m").await;
    };
    let start = tokio::time::Instant::now();
    let (claimed, _) = join(lives, join(dies, publish)).await;
    assert_eq!(claimed.claim.deliveries, 2);
    assert!(start.elapsed() < 2 * subject.lease, "{:?}", start.elapsed());
}

/// And not by chance.
pub async fn waiters_are_served_in_the_order_they_came(subject: Subject) {
    let mut first = pin!(subject.wait("first", &["q"], SOON));
    assert!(begin(first.as_mut()).await.is_pending());
    (subject.pass)(subject.lease / 10).await;
    let mut second = pin!(subject.wait("second", &["r", "q"], SOON));
    assert!(begin(second.as_mut()).await.is_pending());
    (subject.pass)(subject.lease / 10).await;
    subject.publish("q", "1").await;
    subject.publish("q", "2").await;
    let (first, second) = soon("two claims", join(first, second)).await;
    assert_eq!(first.expect("it was published").body, "1");
    assert_eq!(second.expect("it was published").body, "2");
}

/// Neither what comes later nor what it was about to get; that costs one lease at most.
pub async fn an_abandoned_wait_loses_nothing(subject: Subject) {
    {
        let mut abandoned = pin!(subject.wait("gone", &["q"], SOON));
        assert!(begin(abandoned.as_mut()).await.is_pending());
        subject.publish("q", "1").await;
    }
    {
        let mut abandoned = pin!(subject.wait("gone", &["r"], SOON));
        assert!(begin(abandoned.as_mut()).await.is_pending());
    }
    subject.publish("r", "2").await;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let delivery = subject.wait("here", &["q", "r"], 2 * subject.lease + Duration::from_secs(1)).await;
        bodies.push(delivery.expect("it was published").body);
    }
    bodies.sort_unstable();
    assert_eq!(bodies, ["1", "2"]);
}
