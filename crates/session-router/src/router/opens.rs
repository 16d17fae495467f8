//! Sessions that are being opened, by worker: whether one that answers late answers nobody, or only this one.
//!
//! A worker that is asked by fifty sessions at once, on a machine that is busy, may be late for one of them. It is no worse for
//! that than one that is full: the others have it. One that died answers nobody any more.

use std::{collections::HashMap, sync::Arc};

use dalston_protocol::WorkerId;
use parking_lot::Mutex;

/// All that are under way from here. As many entries as workers that are being asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Opens(Arc<Mutex<HashMap<WorkerId, Asked>>>);

#[derive(Debug, Default)]
struct Asked {
    under_way: usize,
    /// How often it has answered, whatever it said, since somebody has been waiting for it.
    answers: u64,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Opening {
    opens: Opens,
    worker: WorkerId,
    answers_before: u64,
}

impl Opens {
    pub(super) fn begin(&self, worker: &WorkerId) -> Opening {
        let mut all = self.0.lock();
        let asked = all.entry(worker.clone()).or_default();
        asked.under_way += 1;
        Opening { opens: self.clone(), worker: worker.clone(), answers_before: asked.answers }
    }
}

impl Opening {
    /// The worker has answered.
    pub(super) fn is_answered(&self) {
        if let Some(asked) = self.opens.0.lock().get_mut(&self.worker) {
            asked.answers += 1;
        }
    }

    /// Whether the worker has answered another one since this one began.
    pub(super) fn is_passed(&self) -> bool {
        self.opens.0.lock().get(&self.worker).is_some_and(|asked| asked.answers > self.answers_before)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut all = self.opens.0.lock();
        if let Some(asked) = all.get_mut(&self.worker) {
            asked.under_way -= 1;
            if asked.under_way == 0 {
                all.remove(&self.worker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_passed_by_answers_that_came_while_it_waited_and_nothing_is_kept_after_it() {
        let opens = Opens::default();
        let [worker, other] = [WorkerId::generate(), WorkerId::generate()];
        let (late, early) = (opens.begin(&worker), opens.begin(&worker));
        assert!(!late.is_passed());
        opens.begin(&other).is_answered();
        assert!(!late.is_passed(), "that was another worker");
        early.is_answered();
        drop(early);
        assert!(late.is_passed());
        assert!(!opens.begin(&worker).is_passed(), "that was before it");
        drop(late);
        assert!(opens.0.lock().is_empty());
    }
}
