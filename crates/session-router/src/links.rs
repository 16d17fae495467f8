//! From a worker to the way there.

use std::{collections::HashMap, fmt, sync::Arc};

use dalston_protocol::WorkerId;
use parking_lot::RwLock;

use crate::{
    Address,
    link::{ClusterSecret, Liveness, Refusal, WebSocketLink, WorkerLink},
};

/// The links of one gateway: to the workers of its own process, one entry each, put in by whoever starts the worker; and to
/// all others by the address that they announce.
#[derive(Default)]
pub struct Links {
    /// Not an async lock: no await happens under it.
    by_worker: RwLock<HashMap<WorkerId, Arc<dyn WorkerLink>>>,
    /// What other processes are reached with.
    remote: Option<(ClusterSecret, Liveness)>,
}

impl Links {
    /// No links yet, and none to other processes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reaches workers of other processes, which know the same secret.
    #[must_use]
    pub fn across_machines(self, secret: ClusterSecret, liveness: Liveness) -> Self {
        Self { remote: Some((secret, liveness)), ..self }
    }

    /// Adds the link to a worker of this process, in the place of an older one.
    pub fn insert(&self, worker: WorkerId, link: Arc<dyn WorkerLink>) {
        self.by_worker.write().insert(worker, link);
    }

    /// Forgets a worker of this process. Sessions that are open go on.
    pub fn remove(&self, worker: &WorkerId) {
        self.by_worker.write().remove(worker);
    }

    /// Whether a worker is of this process.
    pub fn is_here(&self, worker: &WorkerId) -> bool {
        self.by_worker.read().contains_key(worker)
    }

    /// The way to a worker: the short one where it is of this process, whatever it announces to others.
    ///
    /// # Errors
    /// There is none from here, which is as bad as a worker that does not answer.
    pub fn get(&self, worker: &WorkerId, address: &Address) -> Result<Arc<dyn WorkerLink>, Refusal> {
        if let Some(link) = self.by_worker.read().get(worker) {
            return Ok(link.clone());
        }
        let none = |why: &str| Refusal::Unreachable(why.to_owned());
        let Address::Url(url) = address else { return Err(none("it is in another process")) };
        let (secret, liveness) = self.remote.as_ref().ok_or_else(|| none("this gateway has no cluster secret"))?;
        let link = WebSocketLink::new(url, secret.clone(), *liveness);
        Ok(Arc::new(link.map_err(|error| none(&error.to_string()))?))
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_worker.read().keys()).finish()
    }
}
