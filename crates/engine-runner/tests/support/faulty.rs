//! A broker that fails its runner at one point, as its death would.

use std::{future::pending, sync::Arc, time::Duration};

use dalston_broker::{Broker, BrokerError, Claim, Delivery, QueueStats, Subscription};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Notify;

/// What does not come back to the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer to a claim that was granted.
    Claimed,
    /// The acknowledgement, before it happens.
    Acknowledge,
    /// Any renewal; the lease runs out.
    Renew,
}

#[derive(Debug)]
pub struct Faulty {
    broker: Arc<dyn Broker>,
    fault: Fault,
    reached: Notify,
}

impl Faulty {
    pub fn new(broker: Arc<dyn Broker>, fault: Fault) -> Arc<Self> {
        Arc::new(Self { broker, fault, reached: Notify::new() })
    }

    /// Waits until the runner has come to the point.
    pub async fn reached(&self) {
        tokio::time::timeout(super::SOON, self.reached.notified()).await.expect("the runner comes so far");
    }

    async fn stop<T>(&self) -> T {
        self.reached.notify_one();
        pending().await
    }
}

impl Broker for Faulty {
    fn publish<'a>(&'a self, queue: &'a str, body: String) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.broker.publish(queue, body)
    }

    fn claim<'a>(
        &'a self,
        queues: &'a [String],
        consumer: &'a str,
        lease: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        async move {
            let claimed = self.broker.claim(queues, consumer, lease, wait).await;
            match (self.fault, &claimed) {
                (Fault::Claimed, Ok(Some(_))) => self.stop().await,
                _ => claimed,
            }
        }
        .boxed()
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> BoxFuture<'a, Result<bool, BrokerError>> {
        match self.fault {
            Fault::Renew => self.stop().boxed(),
            _ => self.broker.renew(claim, lease),
        }
    }

    fn acknowledge<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        match self.fault {
            Fault::Acknowledge => self.stop().boxed(),
            _ => self.broker.acknowledge(claim),
        }
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.broker.release(claim)
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueStats>, BrokerError>> {
        self.broker.queues()
    }

    fn notify<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        self.broker.notify(topic)
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, BrokerError>> {
        self.broker.subscribe(topic)
    }
}
