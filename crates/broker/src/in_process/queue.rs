//! One queue: what is ready, who has what and until when, and who waits.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::QueueStats;

/// A message's name within the broker.
pub(super) type MessageId = u64;
/// A waiter's place in the line: smaller came earlier.
pub(super) type Ticket = u64;

#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) body: String,
    pub(super) published: Instant,
    pub(super) deliveries: u32,
}

#[derive(Debug)]
struct Held {
    message: Message,
    consumer: String,
    until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What came back: goes first.
    returned: VecDeque<Message>,
    /// In the order of publication.
    fresh: VecDeque<Message>,
    held: HashMap<MessageId, Held>,
    /// The ends of all leases in `held`.
    ends: BTreeSet<(Instant, MessageId)>,
    /// Who waits for a message of this queue.
    pub(super) line: BTreeSet<Ticket>,
    /// When it was served last, in claims of the whole broker.
    pub(super) served: u64,
}

impl Queue {
    pub(super) fn push(&mut self, message: Message) {
        self.fresh.push_back(message);
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.returned.is_empty() || !self.fresh.is_empty()
    }

    /// When the first of the leases ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Takes back what leases have ended for.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((end, id)) = self.ends.first().copied()
            && end <= now
        {
            let message = self.remove(id).expect("every end has its message");
            self.returned.push_back(message);
        }
    }

    /// Gives the next message to `consumer` until `until`.
    pub(super) fn take(&mut self, consumer: &str, until: Instant) -> Option<&Message> {
        let mut message = self.returned.pop_front().or_else(|| self.fresh.pop_front())?;
        message.deliveries += 1;
        let id = message.id;
        self.ends.insert((until, id));
        self.held.insert(id, Held { message, consumer: consumer.to_owned(), until });
        self.held.get(&id).map(|held| &held.message)
    }

    /// Whether this is who has the message, of this delivery.
    pub(super) fn is_held(&self, id: MessageId, consumer: &str, deliveries: u32) -> bool {
        self.held.get(&id).is_some_and(|held| held.consumer == consumer && held.message.deliveries == deliveries)
    }

    pub(super) fn prolong(&mut self, id: MessageId, until: Instant) {
        if let Some(held) = self.held.get_mut(&id) {
            self.ends.remove(&(held.until, id));
            self.ends.insert((until, id));
            held.until = until;
        }
    }

    /// Takes a message out of the hands of who has it.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Message> {
        let held = self.held.remove(&id)?;
        self.ends.remove(&(held.until, id));
        Some(held.message)
    }

    pub(super) fn give_back(&mut self, message: Message) {
        self.returned.push_back(message);
    }

    /// As if it had never been given away.
    pub(super) fn undo(&mut self, mut message: Message) {
        message.deliveries -= 1;
        self.returned.push_front(message);
    }

    pub(super) fn stats(&self, queue: &str, now: Instant) -> QueueStats {
        let oldest = self.returned.iter().chain(self.fresh.front()).map(|message| message.published).min();
        QueueStats {
            queue: queue.to_owned(),
            ready: self.returned.len() + self.fresh.len(),
            claimed: self.held.len(),
            oldest: oldest.map(|published| now.saturating_duration_since(published)),
        }
    }
}

/// `now + time`, for any time: what is too far to be told is a hundred years away.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now + time.min(FAR)
}
