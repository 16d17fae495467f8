//! How many tasks an engine works on at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of an engine. One that a hanging thread holds is replaced, up to a number of them: then the engine has
/// fewer until one of these threads returns, or none at all. An engine that hangs for ever must not fill the memory
/// with threads.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    stuck: Arc<AtomicUsize>,
    max_stuck: usize,
}

/// A place to work at. Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// A thread that does not return. Its end is that of this.
#[derive(Debug)]
pub(crate) struct Stuck {
    count: Arc<AtomicUsize>,
    /// The place, if it was not replaced.
    _slot: Option<Slot>,
}

impl Slots {
    pub(crate) fn new(count: usize, max_stuck: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count.max(1))), stuck: Arc::default(), max_stuck }
    }

    pub(crate) async fn free(&self) -> Slot {
        Slot(self.free.clone().acquire_owned().await.expect("it is never closed"))
    }

    /// Counts a thread that does not return; `true` if its place was replaced.
    pub(crate) fn lose(&self, slot: Slot) -> (Stuck, bool) {
        let is_replaced = self.stuck.fetch_add(1, Ordering::Relaxed) < self.max_stuck;
        let slot = (!is_replaced).then_some(slot);
        (Stuck { count: self.stuck.clone(), _slot: slot }, is_replaced)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_stuck_threads_are_replaced_and_no_more() {
        let slots = Slots::new(1, 2);
        let mut stuck = Vec::new();
        for is_replaced in [true, true, false] {
            assert_eq!(slots.free.available_permits(), 1);
            let (thread, replaced) = slots.lose(slots.free().await);
            assert_eq!(replaced, is_replaced);
            stuck.push(thread);
        }
        assert_eq!(slots.free.available_permits(), 0);
        stuck.pop();
        assert_eq!(slots.free.available_permits(), 1, "the thread has returned");
        stuck.clear();
        assert_eq!(slots.free.available_permits(), 1, "the others had been replaced");
    }
}
