//! Who wants to be woken by what.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{Subscription, Waker};

/// Subscribers by topic. As many as there are [`Subscription`]s: a topic goes with the last of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics(Arc<Mutex<Subscribers>>);

#[derive(Default)]
struct Subscribers {
    by_topic: HashMap<String, BTreeMap<u64, Waker>>,
    next: u64,
    watch: Option<Watch>,
}

/// Is told of a topic's first subscriber (`true`) and of the end of its last. It is called under the lock, so that it hears
/// of both in the order in which they happened, and must not call back.
type Watch = Box<dyn Fn(&str, bool) + Send + Sync>;

impl Topics {
    pub(crate) fn watch(&self, watch: impl Fn(&str, bool) + Send + Sync + 'static) {
        self.0.lock().watch = Some(Box::new(watch));
    }

    pub(crate) fn notify(&self, topic: &str) {
        if let Some(subscribers) = self.0.lock().by_topic.get(topic) {
            subscribers.values().for_each(Waker::wake);
        }
    }

    /// Something may have been missed.
    pub(crate) fn notify_all(&self) {
        self.0.lock().by_topic.values().flat_map(BTreeMap::values).for_each(Waker::wake);
    }

    pub(crate) fn subscribe(&self, topic: &str) -> Subscription {
        let mut subscribers = self.0.lock();
        let number = subscribers.next;
        subscribers.next += 1;
        let end = Unsubscribe { topics: Arc::downgrade(&self.0), topic: topic.to_owned(), number };
        let (waker, subscription) = Subscription::new(end);
        let of_topic = subscribers.by_topic.entry(topic.to_owned()).or_default();
        let is_first = of_topic.is_empty();
        of_topic.insert(number, waker);
        if is_first {
            subscribers.tell(topic, true);
        }
        subscription
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().by_topic.len()
    }
}

impl Subscribers {
    fn tell(&self, topic: &str, is_watched: bool) {
        if let Some(watch) = &self.watch {
            watch(topic, is_watched);
        }
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribers").field("topics", &self.by_topic.len()).finish_non_exhaustive()
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
            topics.tell(&self.topic, false);
        }
    }
}
