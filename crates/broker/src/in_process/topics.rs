//! Who wants to be woken by what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{Subscription, Waker};

/// Subscribers by topic. As many as there are [`Subscription`]s: a topic goes with the last of them.
#[derive(Debug, Default)]
pub(super) struct Topics(Arc<Mutex<Subscribers>>);

#[derive(Debug, Default)]
struct Subscribers {
    by_topic: HashMap<String, BTreeMap<u64, Waker>>,
    next: u64,
}

impl Topics {
    pub(super) fn notify(&self, topic: &str) {
        if let Some(subscribers) = self.0.lock().by_topic.get(topic) {
            subscribers.values().for_each(Waker::wake);
        }
    }

    pub(super) fn subscribe(&self, topic: &str) -> Subscription {
        let mut subscribers = self.0.lock();
        let number = subscribers.next;
        subscribers.next += 1;
        let end = Unsubscribe { topics: Arc::downgrade(&self.0), topic: topic.to_owned(), number };
        let (waker, subscription) = Subscription::new(end);
        subscribers.by_topic.entry(topic.to_owned()).or_default().insert(number, waker);
        subscription
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().by_topic.len()
    }
}

struct Unsubscribe {
    topics: Weak<Mutex<Subscribers>>,
    topic: String,
    number: u64,
}

impl Drop for Unsubscribe {
    fn drop(&mut self) {
        let Some(topics) = self.topics.upgrade() else { return };
        let mut topics = topics.lock();
        let Some(subscribers) = topics.by_topic.get_mut(&self.topic) else { return };
        subscribers.remove(&self.number);
        if subscribers.is_empty() {
            topics.by_topic.remove(&self.topic);
        }
    }
}
