//! From a worker's id to the way there.

use std::{collections::HashMap, fmt, sync::Arc};

use dalston_protocol::WorkerId;
use parking_lot::RwLock;

use crate::link::WorkerLink;

/// The links of one gateway: one entry per worker, put in by whoever learns of the worker and taken out when it is gone.
#[derive(Default)]
pub struct Links {
    /// Not an async lock: no await happens under it.
    by_worker: RwLock<HashMap<WorkerId, Arc<dyn WorkerLink>>>,
}

impl Links {
    /// No links yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the link to a worker, in the place of an older one.
    pub fn insert(&self, worker: WorkerId, link: Arc<dyn WorkerLink>) {
        self.by_worker.write().insert(worker, link);
    }

    /// Forgets a worker. Sessions that are open go on.
    pub fn remove(&self, worker: &WorkerId) {
        self.by_worker.write().remove(worker);
    }

    /// The way to a worker. `None` when there is none from here, which is as bad as a worker that does not answer.
    pub fn get(&self, worker: &WorkerId) -> Option<Arc<dyn WorkerLink>> {
        self.by_worker.read().get(worker).cloned()
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_worker.read().keys()).finish()
    }
}
