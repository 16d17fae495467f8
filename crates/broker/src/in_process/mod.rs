//! The broker of one process: a lock around [`State`].

#[cfg(test)]
mod properties;
mod queue;
mod state;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{Broker, BrokerError, Claim, Delivery, QueueStats, Subscription, topics::Topics};
use queue::{Ticket, after};
use state::{State, Wish};

/// The broker of one process. It forgets all when the process ends. Its clock is [`tokio::time`]'s, which tests can
/// pause.
#[derive(Debug)]
pub struct InProcessBroker {
    /// Not an async lock: no await happens under it, and every operation takes microseconds.
    state: Mutex<State>,
    topics: Topics,
}

impl InProcessBroker {
    /// Takes `limit` messages, ready and claimed; one more is refused with [`BrokerError::Full`].
    pub fn new(limit: usize) -> Self {
        Self { state: Mutex::new(State::new(limit)), topics: Topics::default() }
    }

    /// One atomic step. The clock is read under the lock: time never runs backwards from one step to the next.
    fn now<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.state.lock();
        let now = Instant::now();
        step(&mut state, now)
    }

    /// One atomic step that is taken when the future is first polled, and cannot fail in one process.
    fn step<'a, T: 'a>(
        &'a self,
        step: impl FnOnce(&mut State, Instant) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, BrokerError>> {
        async move { Ok(self.now(step)) }.boxed()
    }

    /// In one step, so that no message comes between the look and the wait.
    fn take_or_line_up(&self, queues: &[String], consumer: &str, lease: Duration) -> Result<Delivery, Place<'_>> {
        self.now(|state, now| {
            state.take(queues, consumer, lease, now).ok_or_else(|| {
                let woken = Arc::new(Notify::new());
                let wish = Wish { queues: queues.to_vec(), consumer: consumer.to_owned(), lease };
                Place { broker: self, ticket: state.wait(wish, woken.clone()), woken }
            })
        })
    }

    /// Waits in line, until `deadline`.
    async fn wait(&self, place: Place<'_>, deadline: Instant) -> Option<Delivery> {
        loop {
            let end = self.now(|state, _| state.next_end(place.ticket));
            let look = end.map_or(deadline, |end| end.min(deadline));
            tokio::select! {
                () = place.woken.notified() => {}
                () = sleep_until(look) => {}
            }
            let (given, now) = self.now(|state, now| (state.collect(place.ticket, now), now));
            if given.is_some() || now >= deadline {
                return given;
            }
        }
    }
}

/// A million messages: some 300 MB at the very most, and the store still has what does not fit.
impl Default for InProcessBroker {
    fn default() -> Self {
        Self::new(1_000_000)
    }
}

/// A place in line, left when it is dropped.
struct Place<'a> {
    broker: &'a InProcessBroker,
    ticket: Ticket,
    woken: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.broker.now(|state, now| state.leave(self.ticket, now));
    }
}

impl Broker for InProcessBroker {
    fn publish<'a>(&'a self, queue: &'a str, body: String) -> BoxFuture<'a, Result<(), BrokerError>> {
        async move { self.now(|state, now| state.publish(queue, body, now)) }.boxed()
    }

    fn claim<'a>(
        &'a self,
        queues: &'a [String],
        consumer: &'a str,
        lease: Duration,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Option<Delivery>, BrokerError>> {
        async move {
            // Whoever finds a message each time would never let go of its thread.
            tokio::task::coop::consume_budget().await;
            match self.take_or_line_up(queues, consumer, lease) {
                Ok(delivery) => Ok(Some(delivery)),
                Err(place) => Ok(self.wait(place, after(Instant::now(), wait)).await),
            }
        }
        .boxed()
    }

    fn renew<'a>(&'a self, claim: &'a Claim, lease: Duration) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.step(move |state, now| state.renew(claim, lease, now))
    }

    fn acknowledge<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.step(|state, now| state.acknowledge(claim, now))
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, BrokerError>> {
        self.step(|state, now| state.release(claim, now))
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueStats>, BrokerError>> {
        self.step(|state, now| state.stats(now))
    }

    fn notify<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<(), BrokerError>> {
        async move {
            self.topics.notify(topic);
            Ok(())
        }
        .boxed()
    }

    fn subscribe<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Result<Subscription, BrokerError>> {
        async move { Ok(self.topics.subscribe(topic)) }.boxed()
    }
}

#[cfg(test)]
mod tests;
