//! The suite that every [`Broker`] must pass.
//!
//! Each claim is one function, and [`broker_conformance!`](crate::broker_conformance) makes one test of each, so that a
//! failure says which promise broke.

mod fencing;
mod queues;
mod redelivery;
mod stats;
mod topics;
mod waiting;

use std::{any::Any, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::{Broker, Claim, Delivery, QueueStats};

pub use fencing::*;
pub use queues::*;
pub use redelivery::*;
pub use stats::*;
pub use topics::*;
pub use waiting::*;

/// How long anything may take that must happen at all. Longer than any lease: the paused clock jumps over it.
const SOON: Duration = Duration::from_secs(600);

/// An empty broker and a way to let time pass on its clock: paused time, or real time with a short lease.
pub struct Subject {
    /// Empty at the start.
    pub broker: Arc<dyn Broker>,
    /// How many messages it takes: 50 to 10,000.
    pub capacity: usize,
    /// For claims. Nothing else in the suite lasts as long.
    pub lease: Duration,
    /// Resolves when the time has passed for the broker, and little more.
    pub pass: fn(Duration) -> BoxFuture<'static, ()>,
    /// What the broker needs to live, such as a server. Goes with the subject.
    pub world: Box<dyn Any + Send + Sync>,
}

/// One test per claim. Takes the test attribute, and a path to an `async fn() -> Subject`.
///
/// ```text
/// broker_conformance!(tokio::test(start_paused = true), subject);
/// ```
#[macro_export]
macro_rules! broker_conformance {
    ($test:meta, $subject:path) => {
        $crate::broker_conformance! { @each $test, $subject:
            a_claim_says_what_was_published_and_who_has_it
            messages_come_in_the_order_of_publication
            the_same_body_twice_is_two_messages
            a_claimed_message_is_nobody_elses
            a_claim_leaves_other_queues_alone
            an_acknowledged_message_never_comes_back
            a_full_queue_does_not_starve_another
            concurrent_consumers_never_share_a_message
            a_full_broker_refuses_and_loses_nothing
            an_acknowledgement_makes_room
            a_body_that_is_too_long_is_refused
            zombie_acknowledge_is_refused
            zombie_renewal_is_refused
            zombie_release_is_refused
            a_zombie_of_the_same_consumer_is_refused
            a_claim_of_another_consumer_is_refused
            a_claim_ends_with_its_acknowledgement
            a_claim_ends_with_its_release
            a_claim_of_nothing_is_refused
            a_claim_that_is_not_renewed_is_redelivered
            a_renewed_claim_is_not_redelivered
            every_delivery_is_counted
            a_released_message_comes_back_at_once
            what_came_back_goes_before_what_is_new
            a_dead_consumer_loses_all_it_had
            nothing_comes_of_an_empty_queue
            a_waiter_is_woken_by_a_publication
            a_waiter_is_woken_by_the_last_of_its_queues
            a_waiter_is_woken_by_a_release
            a_waiter_is_woken_by_the_end_of_a_lease
            a_waiter_sees_the_end_of_a_lease_that_began_after_it_came
            waiters_are_served_in_the_order_they_came
            an_abandoned_wait_loses_nothing
            stats_count_what_is_ready_and_what_is_claimed
            stats_tell_the_age_of_the_oldest_that_is_ready
            a_lease_that_ended_counts_as_ready
            a_subscriber_is_woken
            every_subscriber_is_woken
            a_slow_subscriber_is_woken_after_the_last_change
            a_subscriber_of_another_topic_sleeps_on
            nobody_has_to_listen
        }
    };
    (@each $test:meta, $subject:path: $($claim:ident)*) => {
        $(
            #[$test]
            async fn $claim() {
                $crate::conformance::$claim($subject().await).await;
            }
        )*
    };
}

impl Subject {
    async fn publish(&self, queue: &str, body: &str) {
        self.broker.publish(queue, body.to_owned()).await.expect("there is room");
    }

    /// What `consumer` gets without waiting.
    async fn claim(&self, consumer: &str, queues: &[&str]) -> Option<Delivery> {
        self.wait(consumer, queues, Duration::ZERO).await
    }

    async fn wait(&self, consumer: &str, queues: &[&str], wait: Duration) -> Option<Delivery> {
        let queues: Vec<_> = queues.iter().map(|queue| (*queue).to_owned()).collect();
        self.broker.claim(&queues, consumer, self.lease, wait).await.expect("the broker answers")
    }

    /// What `a` gets of queue `q`, where something must be.
    async fn take(&self) -> Delivery {
        self.claim("a", &["q"]).await.expect("there is a message")
    }

    async fn renew(&self, claim: &Claim) -> bool {
        self.broker.renew(claim, self.lease).await.expect("the broker answers")
    }

    async fn acknowledge(&self, claim: &Claim) -> bool {
        self.broker.acknowledge(claim).await.expect("the broker answers")
    }

    async fn release(&self, claim: &Claim) -> bool {
        self.broker.release(claim).await.expect("the broker answers")
    }

    async fn stats(&self, queue: &str) -> QueueStats {
        let all = self.broker.queues().await.expect("the broker answers");
        all.into_iter().find(|stats| stats.queue == queue).expect("it was used")
    }

    /// Lets the lease of whatever was claimed by now run out.
    async fn outlive(&self) {
        (self.pass)(self.lease + self.lease / 10).await;
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}
