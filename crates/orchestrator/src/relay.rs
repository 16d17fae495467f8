//! The outbox's relay: what a transaction wanted to be said is said once it is committed, at least once.

use std::time::Duration;

use dalston_protocol::JobId;
use dalston_store::jobs::{JOB_QUEUE, OutboxRow, Outgoing};
use tokio_util::sync::CancellationToken;

use crate::{Orchestrator, OrchestratorError};

/// Rows in one turn.
const BATCH: u32 = 256;
/// How long a quiet outbox is left alone: another process may write into it, and retries become due.
const POLL: Duration = Duration::from_secs(1);

impl Orchestrator {
    pub(crate) async fn relay(self, shutdown: CancellationToken) {
        let mut changed = self.store.changed();
        loop {
            // Seen before it is read, so that nothing that is written meanwhile is missed.
            changed.mark_unchanged();
            let pause = match self.relay_batch().await {
                Ok(sent) if sent == BATCH as usize => continue,
                Ok(_) => false,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be passed on now");
                    true
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = changed.changed(), if !pause => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    async fn relay_batch(&self) -> Result<usize, OrchestratorError> {
        let rows = self.store.outbox(BATCH).await?;
        let mut sent = Vec::with_capacity(rows.len());
        let mut failure = None;
        for OutboxRow { seq, message } in rows {
            match self.publish(&message).await {
                Ok(()) => sent.push(seq),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        if !sent.is_empty() {
            self.store.outbox_sent(&sent).await?;
        }
        failure.map_or(Ok(sent.len()), Err)
    }

    async fn publish(&self, message: &Outgoing) -> Result<(), OrchestratorError> {
        match message {
            Outgoing::Job(id) => self.ask_for_look(id).await,
            Outgoing::Task { task, queue, .. } => Ok(self.broker.publish(queue, task.to_string()).await?),
        }
    }

    pub(crate) async fn ask_for_look(&self, id: &JobId) -> Result<(), OrchestratorError> {
        Ok(self.broker.publish(JOB_QUEUE, id.to_string()).await?)
    }
}
