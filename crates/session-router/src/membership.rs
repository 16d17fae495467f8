//! A worker's place in the registry, from the worker's side.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dalston_protocol::LeaseId;
use parking_lot::Mutex;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{Heartbeat, Registry, Unavailable, WorkerRecord};

/// Keeps a worker registered: sends its heartbeats, and registers it again when the registry has forgotten it, with the leases
/// of the sessions that it has.
///
/// Leaving tells the registry at once. Dropping only ends the heartbeats, as a crash does.
#[derive(Debug)]
pub struct Membership {
    member: Arc<Member>,
    heartbeats: JoinHandle<()>,
}

#[derive(Debug)]
struct Member {
    registry: Arc<dyn Registry>,
    record: WorkerRecord,
    draining: AtomicBool,
    /// Not an async lock: no await happens under it. As many as the worker has sessions.
    held: Mutex<HashSet<LeaseId>>,
}

/// A session that the worker has. Dropping it says that the session is over.
#[derive(Debug)]
pub struct Held {
    member: Arc<Member>,
    lease: LeaseId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.member.held.lock().remove(&self.lease);
    }
}

impl Membership {
    /// Registers the worker and begins its heartbeats, one each `every`: a third of what the registry waits for, or less.
    ///
    /// # Errors
    /// The registry did not answer.
    pub async fn join(registry: Arc<dyn Registry>, record: WorkerRecord, every: Duration) -> Result<Self, Unavailable> {
        registry.register(record.clone()).await?;
        let member = Arc::new(Member { registry, record, draining: AtomicBool::new(false), held: Mutex::default() });
        let heartbeats = tokio::spawn(beat(member.clone(), every));
        Ok(Self { member, heartbeats })
    }

    /// What the worker registered as.
    pub fn record(&self) -> &WorkerRecord {
        &self.member.record
    }

    /// The worker has taken the session of this lease.
    pub fn hold(&self, lease: LeaseId) -> Held {
        self.member.held.lock().insert(lease.clone());
        Held { member: self.member.clone(), lease }
    }

    /// Takes no more sessions; those it has go on. Draining does not end, and outlives a registry that forgets.
    ///
    /// # Errors
    /// The registry did not answer; it is told again when the worker must register again.
    pub async fn drain(&self) -> Result<(), Unavailable> {
        // First: a heartbeat that registers the worker again between the two lines drains it again too.
        self.member.draining.store(true, Ordering::SeqCst);
        self.member.registry.drain(&self.member.record.worker_id).await
    }

    /// Ends the heartbeats and the membership.
    ///
    /// # Errors
    /// The registry did not answer; it will miss the heartbeats.
    pub async fn leave(mut self) -> Result<(), Unavailable> {
        self.heartbeats.abort();
        // Ended before we go on, or a heartbeat under way could register the worker again behind our back.
        let _ = (&mut self.heartbeats).await;
        self.member.registry.deregister(&self.member.record.worker_id).await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

async fn beat(member: Arc<Member>, every: Duration) {
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Err(unavailable) = member.beat().await {
            warn!(worker_id = %member.record.worker_id, %unavailable, "a heartbeat was lost");
        }
    }
}

impl Member {
    async fn beat(&self) -> Result<(), Unavailable> {
        let worker_id = &self.record.worker_id;
        if self.registry.heartbeat(worker_id).await? == Heartbeat::Counted {
            return Ok(());
        }
        let held: Vec<LeaseId> = self.held.lock().iter().cloned().collect();
        info!(%worker_id, sessions = held.len(), "the registry has forgotten this worker; registering again");
        self.registry.restore(self.record.clone(), held).await?;
        if self.draining.load(Ordering::SeqCst) { self.registry.drain(worker_id).await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::{
        Health, InProcessRegistry, RegistryTimes,
        conformance::{engine, worker},
    };

    const TTL: Duration = Duration::from_secs(9);

    async fn join() -> (Arc<InProcessRegistry>, Membership) {
        let times = RegistryTimes { worker_ttl: TTL, ..RegistryTimes::default() };
        let registry = Arc::new(InProcessRegistry::new(times));
        let record = worker(1, vec![engine("echo", "echo-en", &["en"])]);
        let membership = Membership::join(registry.clone(), record, TTL / 3).await.unwrap();
        (registry, membership)
    }

    async fn health(registry: &InProcessRegistry) -> Option<Health> {
        registry.workers().await.unwrap().first().map(|status| status.health)
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_stays_as_long_as_it_lives() {
        let (registry, membership) = join().await;
        sleep(TTL * 20).await;
        assert_eq!(health(&registry).await, Some(Health::Ready));
        drop(membership);
        sleep(TTL).await;
        assert_eq!(health(&registry).await, Some(Health::Lost));
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_leaves_is_gone_at_once() {
        let (registry, membership) = join().await;
        membership.leave().await.unwrap();
        assert_eq!(health(&registry).await, None);
        sleep(TTL * 2).await;
        assert_eq!(health(&registry).await, None, "no late heartbeat brings it back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_member_registers_again_and_keeps_draining() {
        let (registry, membership) = join().await;
        let forget = async || registry.deregister(&membership.record().worker_id).await.unwrap();
        forget().await;
        sleep(TTL / 2).await;
        assert_eq!(health(&registry).await, Some(Health::Ready));
        membership.drain().await.unwrap();
        forget().await;
        sleep(TTL / 2).await;
        assert_eq!(health(&registry).await, Some(Health::Draining));
    }
}
