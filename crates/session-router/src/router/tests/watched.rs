//! A registry that counts, and that can be slow or away.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use dalston_protocol::{LeaseId, WorkerId};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::task::yield_now;

use crate::{
    Heartbeat, InProcessRegistry, Lease, Registry, Reservation, ReserveError, ReserveRequest, Unavailable,
    WorkerRecord, WorkerStatus,
};

/// The registry of this process under watch.
#[derive(Debug, Default)]
pub(super) struct Watched {
    inner: InProcessRegistry,
    /// Every operation waits before and after its step, as one over a network does.
    pub(super) slow: AtomicBool,
    /// No operation gets through.
    pub(super) away: AtomicBool,
    /// Releases that got through.
    pub(super) releases: AtomicUsize,
    /// Sizes of the batches that were renewed.
    pub(super) renewals: Mutex<Vec<usize>>,
}

impl Watched {
    fn around<'a, T, E>(&'a self, step: BoxFuture<'a, Result<T, E>>) -> BoxFuture<'a, Result<T, E>>
    where
        T: Send + 'a,
        E: From<Unavailable> + Send + 'a,
    {
        async move {
            self.wait().await;
            if self.away.load(Ordering::SeqCst) {
                return Err(Unavailable("it is away".into()).into());
            }
            let result = step.await;
            self.wait().await;
            result
        }
        .boxed()
    }

    async fn wait(&self) {
        if self.slow.load(Ordering::SeqCst) {
            yield_now().await;
        }
    }
}

impl Registry for Watched {
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.around(self.inner.restore(worker, held))
    }

    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>> {
        self.around(self.inner.heartbeat(worker))
    }

    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.around(self.inner.deregister(worker))
    }

    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.around(self.inner.drain(worker))
    }

    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.around(self.inner.suspect(worker, cool_down))
    }

    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>> {
        self.around(self.inner.reserve(request))
    }

    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.renewals.lock().push(leases.len());
        self.around(self.inner.renew(leases))
    }

    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>> {
        let count = self.inner.release(lease).inspect(|_| {
            self.releases.fetch_add(1, Ordering::SeqCst);
        });
        self.around(count.boxed())
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>> {
        // The tests' own view, which is never away.
        self.inner.workers()
    }
}
