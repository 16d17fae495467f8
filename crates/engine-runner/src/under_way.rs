//! The tasks that a runner has at the moment.

use std::collections::HashSet;

use dalston_protocol::TaskId;
use parking_lot::Mutex;

/// A second message for one of them is dropped: to begin it again would only take it from oneself. It comes when a
/// broker forgot that the first was claimed, or when somebody put it back who thought that it was lost.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashSet<TaskId>>);

/// A task that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    all: &'a UnderWay,
    task: TaskId,
}

impl UnderWay {
    /// `None`: it is under way already.
    pub(crate) fn enter(&self, task: &TaskId) -> Option<Entry<'_>> {
        self.0.lock().insert(task.clone()).then(|| Entry { all: self, task: task.clone() })
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.task);
    }
}
