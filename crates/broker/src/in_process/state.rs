//! All queues, and the line of those who wait. Pure: time is given.
//!
//! Whenever a queue has a message and somebody waits for it, the two are brought together before the step ends; so
//! nobody who comes later overtakes one who waits.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::queue::{Message, MessageId, Queue, Ticket, after};
use crate::{BrokerError, Claim, Delivery, MAX_BODY, QueueStats};

#[derive(Debug)]
pub(super) struct State {
    /// Most messages, ready and claimed, of all queues.
    limit: usize,
    /// How many there are.
    messages: usize,
    queues: BTreeMap<String, Queue>,
    /// As many as there are futures of `claim`.
    waiters: HashMap<Ticket, Waiter>,
    /// Numbers messages, tickets and claims.
    count: u64,
}

/// What somebody waits for.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) queues: Vec<String>,
    pub(super) consumer: String,
    pub(super) lease: Duration,
}

#[derive(Debug)]
struct Waiter {
    wish: Arc<Wish>,
    given: Option<Delivery>,
    wake: Arc<Notify>,
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, messages: 0, queues: BTreeMap::new(), waiters: HashMap::new(), count: 0 }
    }

    pub(super) fn publish(&mut self, queue: &str, body: String, now: Instant) -> Result<(), BrokerError> {
        if body.len() > MAX_BODY {
            return Err(BrokerError::TooLong { bytes: body.len() });
        }
        if self.messages >= self.limit {
            return Err(BrokerError::Full { limit: self.limit });
        }
        self.messages += 1;
        let id = self.number();
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.to_owned(), Queue::default());
        }
        let place = self.queues.get_mut(queue).expect("it is there by now");
        place.push(Message { id, body, published: now, deliveries: 0 });
        self.settle(queue, now);
        Ok(())
    }

    /// Gives the next message of `queues` to `consumer`.
    pub(super) fn take(
        &mut self,
        queues: &[String],
        consumer: &str,
        lease: Duration,
        now: Instant,
    ) -> Option<Delivery> {
        queues.iter().for_each(|queue| self.settle(queue, now));
        let ready = queues.iter().filter_map(|name| Some((name, self.queues.get(name).filter(|q| q.has_ready())?)));
        let (name, _) = ready.min_by_key(|(_, queue)| queue.served)?;
        self.give(name, consumer, lease, now)
    }

    /// Puts somebody in line. There is nothing for him now: [`State::take`] has just said so.
    pub(super) fn wait(&mut self, wish: Wish, wake: Arc<Notify>) -> Ticket {
        let ticket = self.number();
        for queue in &wish.queues {
            self.queues.entry(queue.clone()).or_default().line.insert(ticket);
        }
        self.waiters.insert(ticket, Waiter { wish: Arc::new(wish), given: None, wake });
        ticket
    }

    /// When a lease ends that somebody waits for.
    pub(super) fn next_end(&self, ticket: Ticket) -> Option<Instant> {
        let queues = &self.waiters.get(&ticket)?.wish.queues;
        queues.iter().filter_map(|queue| self.queues.get(queue)?.next_end()).min()
    }

    /// What a waiter has been given by now.
    pub(super) fn collect(&mut self, ticket: Ticket, now: Instant) -> Option<Delivery> {
        let wish = self.waiters.get(&ticket)?.wish.clone();
        wish.queues.iter().for_each(|queue| self.settle(queue, now));
        self.waiters.get_mut(&ticket)?.given.take()
    }

    /// Takes somebody out of the line. What he was given and has not collected goes back as if nothing had been.
    pub(super) fn leave(&mut self, ticket: Ticket, now: Instant) {
        self.step_out(ticket);
        let Some(given) = self.waiters.remove(&ticket).and_then(|waiter| waiter.given) else { return };
        let Some((queue, id)) = self.holding(&given.claim, now) else { return };
        if let Some(message) = queue.remove(id) {
            queue.undo(message);
        }
        self.settle(&given.claim.queue, now);
    }

    pub(super) fn renew(&mut self, claim: &Claim, lease: Duration, now: Instant) -> bool {
        let Some((queue, id)) = self.holding(claim, now) else { return false };
        let end = after(now, lease);
        queue.prolong(id, end);
        self.watch(&claim.queue, end);
        true
    }

    pub(super) fn acknowledge(&mut self, claim: &Claim, now: Instant) -> bool {
        let Some((queue, id)) = self.holding(claim, now) else { return false };
        queue.remove(id);
        self.messages -= 1;
        true
    }

    pub(super) fn release(&mut self, claim: &Claim, now: Instant) -> bool {
        let Some((queue, id)) = self.holding(claim, now) else { return false };
        if let Some(message) = queue.remove(id) {
            queue.give_back(message);
        }
        self.settle(&claim.queue, now);
        true
    }

    pub(super) fn stats(&mut self, now: Instant) -> Vec<QueueStats> {
        let names: Vec<_> = self.queues.keys().cloned().collect();
        names.iter().for_each(|name| self.settle(name, now));
        self.queues.iter().map(|(name, queue)| queue.stats(name, now)).collect()
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Takes back what leases have ended for, and serves who waits.
    fn settle(&mut self, name: &str, now: Instant) {
        loop {
            let Some(queue) = self.queues.get_mut(name) else { return };
            queue.expire(now);
            let Some(first) = queue.line.first().copied().filter(|_| queue.has_ready()) else { return };
            self.step_out(first);
            let Some(wish) = self.waiters.get(&first).map(|waiter| waiter.wish.clone()) else { continue };
            let given = self.give(name, &wish.consumer, wish.lease, now);
            if let Some(waiter) = self.waiters.get_mut(&first) {
                waiter.given = given;
                waiter.wake.notify_one();
            }
        }
    }

    fn give(&mut self, name: &str, consumer: &str, lease: Duration, now: Instant) -> Option<Delivery> {
        let served = self.number();
        let queue = self.queues.get_mut(name)?;
        queue.served = served;
        let end = after(now, lease);
        let message = queue.take(consumer, end)?;
        let claim = Claim {
            queue: name.to_owned(),
            id: message.id.to_string(),
            consumer: consumer.to_owned(),
            deliveries: message.deliveries,
        };
        let waited = now.saturating_duration_since(message.published);
        let delivery = Delivery { claim, body: message.body.clone(), waited };
        self.watch(name, end);
        Some(delivery)
    }

    /// Out of every line, but still there to collect.
    fn step_out(&mut self, ticket: Ticket) {
        let Some(wish) = self.waiters.get(&ticket).map(|waiter| waiter.wish.clone()) else { return };
        for name in &wish.queues {
            let Some(queue) = self.queues.get_mut(name) else { continue };
            let was_first = queue.line.first() == Some(&ticket);
            queue.line.remove(&ticket);
            if let Some(end) = queue.next_end().filter(|_| was_first) {
                self.watch(name, end);
            }
        }
    }

    /// The first in line watches for the first lease of the queue to end: when that is `end`, he does not know it yet.
    fn watch(&self, name: &str, end: Instant) {
        let Some(queue) = self.queues.get(name).filter(|queue| queue.next_end() == Some(end)) else { return };
        if let Some(waiter) = queue.line.first().and_then(|first| self.waiters.get(first)) {
            waiter.wake.notify_one();
        }
    }

    /// The queue and number of a message, if the claim still stands.
    fn holding(&mut self, claim: &Claim, now: Instant) -> Option<(&mut Queue, MessageId)> {
        self.settle(&claim.queue, now);
        let id = claim.id.parse().ok()?;
        let queue = self.queues.get_mut(&claim.queue)?;
        queue.is_held(id, &claim.consumer, claim.deliveries).then_some((queue, id))
    }
}
