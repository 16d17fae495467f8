//! What happens now and then: lost messages are found, expired jobs removed, queues measured.

use std::time::{Duration, SystemTime};

use dalston_protocol::JobId;
use dalston_store::job_folder;
use tokio_util::sync::CancellationToken;

use crate::{Orchestrator, OrchestratorError};

/// Jobs in one turn.
const BATCH: u32 = 256;

impl Orchestrator {
    /// Looks at open jobs that nothing happens to, and has their tasks given out again: whatever the broker forgot.
    pub(crate) async fn reconcile(self, shutdown: CancellationToken) {
        let mut idle = if self.settings.alone { Duration::ZERO } else { self.settings.idle };
        while !shutdown.is_cancelled() {
            let since = SystemTime::now() - idle;
            idle = self.settings.idle;
            if let Err(error) = self.reconcile_once(since).await {
                tracing::warn!(%error, "open jobs cannot be looked at now");
            }
            sleep(self.settings.reconcile, &shutdown).await;
        }
    }

    async fn reconcile_once(&self, since: SystemTime) -> Result<(), OrchestratorError> {
        for id in self.store.open_jobs(since, BATCH).await? {
            tracing::info!(job_id = %id, "nothing happened to the job for a while, looking");
            self.store.dispatch_again(&id, since).await?;
            self.ask_for_look(&id).await?;
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
            for (tenant, id) in &expired {
                // First what nobody could find again without the row.
                self.artifacts.remove(&job_folder(id)).await?;
                self.store.delete(tenant, id).await?;
            }
            removed += expired.len();
            if expired.len() < BATCH as usize {
                return Ok(removed);
            }
        }
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

async fn sleep(time: Duration, shutdown: &CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
