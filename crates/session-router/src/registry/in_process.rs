//! The registry of one process: a lock around [`State`].

use std::{sync::Arc, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Heartbeat, Lease, Registry, RegistryTimes, Reservation, ReserveError, ReserveRequest, Unavailable,
    clock::{BEAT, Clock},
    state::State,
};
use crate::{WorkerRecord, WorkerStatus};

/// The registry of one process. Its clock is [`tokio::time`]'s, which tests can pause.
#[derive(Debug)]
pub struct InProcessRegistry {
    /// Not an async lock: no await happens under it, and every operation takes microseconds.
    timed: Mutex<(Clock, State)>,
}

impl InProcessRegistry {
    /// An empty registry.
    pub fn new(times: RegistryTimes) -> Self {
        Self { timed: Mutex::new((Clock::default(), State::new(times))) }
    }

    /// Notices when the process stands still, as by SIGSTOP, for as long as it is polled: then that time counts for nobody.
    pub async fn notice_standstills(self: Arc<Self>) {
        let mut beats = tokio::time::interval(BEAT);
        loop {
            beats.tick().await;
            self.timed.lock().0.beat();
        }
    }

    /// One atomic step. The clock is read under the lock: time never runs backwards from one step to the next.
    fn now<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let (clock, state) = &mut *self.timed.lock();
        let now = clock.now();
        step(state, now)
    }

    /// One atomic step that is taken when the future is first polled, and cannot fail in one process.
    fn step<'a, T: 'a>(
        &'a self,
        step: impl FnOnce(&mut State, Instant) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Unavailable>> {
        async move { Ok(self.now(step)) }.boxed()
    }
}

impl Default for InProcessRegistry {
    fn default() -> Self {
        Self::new(RegistryTimes::default())
    }
}

impl Registry for InProcessRegistry {
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.step(move |state, now| state.restore(worker, &held, now))
    }

    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>> {
        self.step(|state, now| state.heartbeat(worker, now))
    }

    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.step(|state, _| state.deregister(worker))
    }

    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.step(|state, _| state.drain(worker))
    }

    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.step(move |state, now| state.suspect(worker, now + cool_down))
    }

    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>> {
        async move { self.now(|state, now| state.reserve(request, now)) }.boxed()
    }

    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.step(|state, now| state.renew(leases, now))
    }

    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.step(|state, _| state.release(lease))
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>> {
        self.step(|state, now| state.workers(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::registry::Subject;

    async fn subject() -> Subject {
        let times = RegistryTimes::default();
        let pass = Box::new(|time| tokio::time::advance(time).boxed());
        Subject { registry: Arc::new(InProcessRegistry::new(times)), times, pass }
    }

    crate::registry_conformance!(tokio::test(start_paused = true), subject);
}
