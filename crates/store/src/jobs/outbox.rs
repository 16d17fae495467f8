//! Messages that were decided and may not be published yet.
//!
//! A message stands here from the very transaction that decided it until [`outbox_sent`](JobStore::outbox_sent): whatever
//! dies in between, it is published, and perhaps twice.

use std::time::SystemTime;

use dalston_protocol::{JobId, TaskId};
use serde::{Deserialize, Serialize};

use super::{
    JobRecord, JobStore, TaskRecord,
    query::{Query, statement, statement_of},
    row::{Row, now, to_json, to_millis},
};
use crate::StoreError;

/// Most rows that one call gives out. [`DUE`] has this number, too.
pub const OUTBOX_BATCH: usize = 256;

/// The queue in which the orchestrator finds the jobs to look at.
pub const JOB_QUEUE: &str = "orchestrator";

/// The queue in which an engine finds its tasks.
pub fn engine_queue(engine_id: &str) -> String {
    format!("engine.{engine_id}")
}

/// The topic that is notified when something about the job changes.
pub fn job_topic(job: &JobId) -> String {
    format!("job.{job}")
}

/// The topic that is notified when it has ended, for those who want to know nothing else.
pub fn job_end_topic(job: &JobId) -> String {
    format!("job.{job}.end")
}

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outgoing {
    /// The job is to be looked at: something about it changed.
    Job(JobId),
    /// The task is to be given to an engine.
    Task {
        /// The task.
        task: TaskId,
        /// The queue of its engine.
        queue: String,
        /// The span that made it ready, when tracing is on.
        traceparent: Option<String>,
        /// The request that made the job.
        request_id: String,
    },
}

impl Outgoing {
    /// Has a task given to its engine.
    pub(super) fn task(job: &JobRecord, task: &TaskRecord) -> Self {
        Self::Task {
            task: task.id.clone(),
            queue: engine_queue(&task.engine_id),
            traceparent: task.traceparent.clone(),
            request_id: job.request_id.to_string(),
        }
    }

    /// Puts it into the outbox, to be published at `due_at`.
    pub(super) fn to_outbox(&self, due_at: i64) -> Query {
        statement("INSERT INTO outbox (due_at, message) SELECT $1, $2 WHERE TRUE").bind(due_at).bind(to_json(self))
    }
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number, which no other ever has.
    pub seq: i64,
    /// The message.
    pub message: Outgoing,
}

/// By `outbox_due`.
pub(super) const DUE: &str = "SELECT seq, message FROM outbox WHERE due_at <= $1 ORDER BY due_at, seq LIMIT 256";

impl JobStore {
    /// What is due, longest due first; at most `limit` and [`OUTBOX_BATCH`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let mut rows = statement(DUE).bind(now()).fetch_all(self.database.reader_of_new()).await?;
        rows.truncate(limit);
        let row = |row| Ok(OutboxRow { seq: Row(row).get("seq")?, message: Row(row).json("message")? });
        rows.iter().map(row).collect()
    }

    /// Forgets messages that were published.
    ///
    /// # Errors
    /// When the database fails. They will be published again.
    pub async fn outbox_sent(&self, seqs: &[i64]) -> Result<(), StoreError> {
        for seqs in seqs.chunks(OUTBOX_BATCH) {
            // Numbers alone, so they can stand in the text. A list as one argument would be written otherwise in each
            // database.
            let list = seqs.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            self.database.write(statement_of(format!("DELETE FROM outbox WHERE seq IN ({list})")), Vec::new()).await?;
        }
        Ok(())
    }

    /// Has messages wait until then that could not be published now: those behind them come first.
    ///
    /// # Errors
    /// When the database fails. They are still due.
    pub async fn outbox_later(&self, seqs: &[i64], due: SystemTime) -> Result<(), StoreError> {
        for seqs in seqs.chunks(OUTBOX_BATCH) {
            let list = seqs.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
            let query = statement_of(format!("UPDATE outbox SET due_at = $1 WHERE seq IN ({list})"));
            self.database.write(query.bind(to_millis(due)), Vec::new()).await?;
        }
        Ok(())
    }

    /// Changes whenever this process put something into the outbox: what waits for messages need not ask all the time.
    /// What other processes put there is not seen; ask each second, too.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
