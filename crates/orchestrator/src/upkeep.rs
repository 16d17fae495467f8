//! What happens now and then: lost messages are found, expired jobs removed, queues measured.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dalston_protocol::JobId;
use dalston_store::{
    job_folder,
    jobs::{Change, JOB_QUEUE},
};
use tokio_util::sync::CancellationToken;

use crate::{Orchestrator, OrchestratorError};

/// Jobs in one turn.
const BATCH: u32 = 256;
/// Turns of the first pass after the start: whatever was open then.
const FIRST_TURNS: u32 = 4_096;
/// A message is in its queue this long after it was decided on, unless the relay stands still.
const RELAYED: Duration = Duration::from_secs(30);
/// When a job is tried again that could not be removed.
const AGAIN: Duration = Duration::from_secs(3600);
/// Artifacts of this age without a job never become one: uploads take minutes.
const ORPHANED: Duration = Duration::from_secs(24 * 3600);

impl Orchestrator {
    /// Looks at open jobs that nothing happens to, and has their tasks given out again: whatever the broker forgot.
    pub(crate) async fn reconcile(self, shutdown: CancellationToken) {
        let (mut idle, mut turns) = (self.settings.idle, 1);
        if self.settings.alone {
            (idle, turns) = (Duration::ZERO, FIRST_TURNS);
        }
        while !shutdown.is_cancelled() {
            if let Err(error) = self.reconcile_once(SystemTime::now() - idle, turns).await {
                tracing::warn!(%error, "open jobs cannot be looked at now");
            }
            (idle, turns) = (self.settings.idle, 1);
            sleep(self.settings.reconcile, &shutdown).await;
        }
    }

    /// Gives out again what the broker has lost, and only that: each message twice would be one more each time.
    ///
    /// A queue goes in the order of publication. So of a task that was given out well before the oldest message of its queue
    /// was published, there is none in it; of any other there may be, and it waits its turn.
    async fn reconcile_once(&self, since: SystemTime, turns: u32) -> Result<(), OrchestratorError> {
        let now = SystemTime::now();
        let mut oldest = BTreeMap::new();
        for queue in self.broker.queues().await? {
            let is_behind = queue.queue == JOB_QUEUE && queue.ready >= BATCH as usize;
            if is_behind || self.broker_is_full.load(Ordering::Relaxed) {
                // What is on its way already is looked at first.
                return Ok(());
            }
            oldest.extend(queue.oldest.map(|age| (queue.queue, now - age)));
        }
        let is_lost = |queue: &str, given_out: SystemTime| oldest.get(queue).is_none_or(|at| given_out + RELAYED < *at);
        for _ in 0..turns {
            let open = self.store.open_jobs(since, BATCH).await?;
            let mut looked = 0;
            for id in &open {
                match self.give_out_again(id, since, is_lost).await {
                    Ok(()) => looked += 1,
                    Err(error) if error.concerns_all() => return Err(error),
                    Err(error) => tracing::error!(%error, job_id = %id, "an open job cannot be looked at"),
                }
            }
            // A job that was looked at is not found again.
            if looked < BATCH as usize {
                break;
            }
        }
        Ok(())
    }

    async fn give_out_again(
        &self,
        id: &JobId,
        since: SystemTime,
        is_lost: impl Fn(&str, SystemTime) -> bool + Send + Sync,
    ) -> Result<(), OrchestratorError> {
        tracing::debug!(job_id = %id, "nothing happened to the job for a while, looking");
        for task in self.store.dispatch_again(id, since, is_lost).await? {
            tracing::error!(job_id = %id, task_id = %task.id, "a task has lost its runners too often and is given up");
            self.metrics.jobs.task_poisoned(&task.stage);
        }
        Ok(())
    }

    pub(crate) async fn sweep(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            match self.sweep_once().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "expired jobs were removed"),
                Err(error) => tracing::warn!(%error, "expired jobs cannot be removed now"),
            }
            sleep(self.settings.sweep, &shutdown).await;
        }
    }

    async fn sweep_once(&self) -> Result<usize, OrchestratorError> {
        let mut removed = 0;
        loop {
            let expired: Vec<(String, JobId)> = self.store.expired(SystemTime::now(), BATCH).await?;
            let before = removed;
            for (tenant, id) in &expired {
                match self.remove(tenant, id).await {
                    Ok(()) => removed += 1,
                    Err(error) if error.concerns_all() => return Err(error),
                    Err(error) => {
                        tracing::error!(%error, job_id = %id, "an expired job cannot be removed, and is tried again later");
                        self.expire_later(id).await?;
                    }
                }
            }
            if expired.len() < BATCH as usize || removed == before {
                return Ok(removed);
            }
        }
    }

    async fn remove(&self, tenant: &str, id: &JobId) -> Result<(), OrchestratorError> {
        // First what nobody could find again without the row.
        self.artifacts.remove(&job_folder(id)).await?;
        self.store.delete(tenant, id).await?;
        Ok(())
    }

    /// Lets others go first: by when they expire, it would come first for ever.
    async fn expire_later(&self, id: &JobId) -> Result<(), OrchestratorError> {
        if let Some((job, tasks)) = self.store.load(id).await? {
            let later = Change::Expires(Some(SystemTime::now() + AGAIN));
            // Refused, somebody else changed it: the next sweep sees.
            self.store.apply(&job, &tasks, &[later]).await?;
        }
        Ok(())
    }

    /// Removes artifacts that no job has: of an upload whose server was killed before there was a job, or of a job whose
    /// artifacts could not be removed with it. Any number of processes may do so beside each other.
    pub(crate) async fn tidy(self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            sleep(self.settings.tidy, &shutdown).await;
            match shutdown.run_until_cancelled(self.tidy_once()).await {
                None | Some(Ok(0)) => {}
                Some(Ok(removed)) => tracing::info!(removed, "artifacts that belong to no job were removed"),
                Some(Err(error)) => tracing::warn!(%error, "artifacts cannot be looked through now"),
            }
        }
    }

    async fn tidy_once(&self) -> Result<usize, OrchestratorError> {
        let mut removed = self.artifacts.clear_left_behind().await?;
        let newest = oldest_id_since(SystemTime::now() - ORPHANED);
        // A bounded list, and one job looked up after the other: this is in no hurry.
        for name in self.artifacts.names("jobs").await? {
            let Ok(id) = name.parse::<JobId>() else { continue };
            if id.as_str() >= newest.as_str() || self.store.load(&id).await?.is_some() {
                continue;
            }
            match self.artifacts.remove(&job_folder(&id)).await {
                Ok(_) => removed += 1,
                Err(error) => tracing::error!(%error, job_id = %id, "artifacts without a job cannot be removed"),
            }
        }
        Ok(removed)
    }

    pub(crate) async fn watch_queues(self, shutdown: CancellationToken) {
        const EVERY: Duration = Duration::from_secs(5);
        while !shutdown.is_cancelled() {
            if let Ok(queues) = self.broker.queues().await {
                for queue in queues {
                    self.metrics.jobs.queue(&queue.queue, queue.ready as u64, queue.oldest.unwrap_or_default());
                }
            }
            sleep(EVERY, &shutdown).await;
        }
    }
}

/// What no id is less than that was made since then: they are UUIDs of version 7, which begin with the time.
fn oldest_id_since(time: SystemTime) -> String {
    let millis = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{}{millis:012x}", JobId::PREFIX)
}

async fn sleep(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_when_they_were_made() {
        let (id, now) = (JobId::generate(), SystemTime::now());
        assert!(oldest_id_since(now - Duration::from_secs(1)).as_str() < id.as_str());
        assert!(oldest_id_since(now + Duration::from_secs(1)).as_str() > id.as_str());
    }
}
