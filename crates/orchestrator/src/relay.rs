//! The outbox's relay: what a transaction wanted to be said is said once it is committed, at least once.
//!
//! What a full broker refuses waits in the outbox, and what is behind it goes on.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use dalston_broker::BrokerError;
use dalston_store::jobs::{JOB_QUEUE, OUTBOX_BATCH, Outgoing};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{Orchestrator, OrchestratorError};

/// Messages on their way to the broker at once, so that it gets some of them together.
const AT_ONCE: usize = 16;
/// Shortest time from one turn to the next: what comes meanwhile goes together, and each of them is a few statements less.
const PACE: Duration = Duration::from_millis(4);
/// How long a quiet outbox is left alone: another process may write into it, and retries become due.
const POLL: Duration = Duration::from_secs(1);
/// How long a message waits that the broker had no room for.
const REFUSED: Duration = Duration::from_secs(5);

impl Orchestrator {
    pub(crate) async fn relay(self, shutdown: CancellationToken) {
        let mut changed = self.store.changed();
        while !shutdown.is_cancelled() {
            // Seen before it is read, so that nothing that is written meanwhile is missed.
            changed.mark_unchanged();
            let begun = Instant::now();
            let pause = match self.relay_batch().await {
                Ok(OUTBOX_BATCH) => continue,
                Ok(_) => false,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be passed on now");
                    true
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = changed.changed(), if !pause => sleep_until(begun + PACE).await,
                () = sleep(POLL) => {}
            }
        }
    }

    async fn relay_batch(&self) -> Result<usize, OrchestratorError> {
        let rows = self.store.outbox(OUTBOX_BATCH).await?;
        let taken = rows.len();
        let (mut sent, mut refused) = (Vec::with_capacity(taken), Vec::new());
        let mut failure = None;
        for rows in rows.chunks(AT_ONCE) {
            let outcomes = join_all(rows.iter().map(|row| self.publish(&row.message))).await;
            for (row, outcome) in rows.iter().zip(outcomes) {
                match outcome {
                    Ok(()) => sent.push(row.seq),
                    Err(BrokerError::Full { .. }) => refused.push(row.seq),
                    Err(error) => failure = Some(error),
                }
            }
            if failure.is_some() {
                break;
            }
        }
        if !sent.is_empty() {
            self.store.outbox_sent(&sent).await?;
        }
        if !refused.is_empty() {
            tracing::warn!(messages = refused.len(), "the broker is full, messages wait in the outbox");
            self.store.outbox_later(&refused, SystemTime::now() + REFUSED).await?;
        }
        if taken > 0 {
            self.broker_is_full.store(!refused.is_empty(), Ordering::Relaxed);
        }
        // With no room for any of them there is none for the next ones.
        failure.map_or(Ok(if sent.is_empty() { 0 } else { taken }), |error| Err(error.into()))
    }

    async fn publish(&self, message: &Outgoing) -> Result<(), BrokerError> {
        match message {
            Outgoing::Job(id) => self.broker.publish(JOB_QUEUE, id.to_string()).await,
            Outgoing::Task { task, queue, .. } => self.broker.publish(queue, task.to_string()).await,
        }
    }
}
