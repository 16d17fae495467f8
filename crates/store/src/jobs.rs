//! Jobs and their tasks: the truth about what was accepted, how far it is, and what came of it.
//!
//! One database, SQLite or PostgreSQL, read and written with the same SQL. Everybody who works on jobs meets here: the
//! gateway takes them in, the orchestrator plans them, runners do their tasks.
//!
//! What holds, whatever is killed at whatever moment:
//!
//! * **A job that was acknowledged is kept**, and the message that has it planned is kept in the same moment: the
//!   [outbox](JobStore::outbox) holds every message until it is [marked](JobStore::outbox_sent) as published.
//! * **The same idempotency key gives the same job**, of any number of requests at once.
//! * **What was decided on an old state changes nothing.** [`apply`](JobStore::apply) takes the job as it was read, and every
//!   change of a job or its tasks counts up its version.
//! * **A task is committed once**, by the runner that [began](JobStore::start) it last: see [`Work`].
//! * **Attempts are bounded**, failures and vanished runners each by their own count, and a job whose messages or runners
//!   were lost is found again: see [`open_jobs`](JobStore::open_jobs).
//! * **A status moves only where [`JobStatus`](dalston_protocol::job::JobStatus) and
//!   [`TaskStatus`](dalston_protocol::job::TaskStatus) allow**, but for a [`replay`](JobStore::replay) by hand. A terminal
//!   job stays as it is, and none of its tasks is open.
//! * **Whoever is to be told of a job's end is told of it at least once**: what [webhooks](JobStore::due_deliveries) are told
//!   is kept in the very transaction that ends the job.
//! * **Tenants do not see each other**: another's job is not found.
//!
//! The [API keys](KeyStore) by which tenants are told apart lie in the same database.
//!
//! Each query goes by an index, and each list has a limit: the cost of a job does not grow with the number that is kept.

mod announcing;
mod attempt;
mod change;
mod creating;
mod cursor;
mod database;
mod delivering;
mod draft;
mod edit;
mod heartbeat;
mod keys;
mod outbox;
mod owning;
#[cfg(test)]
mod plans;
mod putting_off;
mod query;
mod reading;
mod record;
mod row;
mod sqlite;
mod webhooks;

pub use announcing::AnnouncedEngine;
pub use attempt::{MAX_CRASHES, Started, TaskFailure, Work};
pub use change::Change;
pub use delivering::{Delivery, Settled, Told};
pub use heartbeat::Standing;
pub use keys::{KeyHash, KeyRecord, KeyStore, MAX_KEYS, NewKeyRecord};
pub use outbox::{JOB_QUEUE, OUTBOX_BATCH, OutboxRow, Outgoing, engine_queue, job_end_topic, job_topic};
pub use owning::Deleted;
pub use putting_off::PutOff;
pub use reading::{DeadPage, DeadTask, JobPage, ListQuery, MAX_PAGE};
pub use record::{Created, Idempotency, JobRecord, NewJob, NewTask, Source, TaskRecord};
pub use webhooks::{MAX_WEBHOOKS, NewWebhook, SigningSecret, WebhookRecord};

use std::{fmt, sync::Arc};

use tokio::sync::watch;

use crate::StoreError;

/// Most tasks of a job: two stages for each of 255 channels, and then some. What reads them has this number, too: SQLite would
/// plan it anew for each bound limit.
const MAX_TASKS: i64 = 1_024;

/// The jobs. A clone is the same store.
#[derive(Clone)]
pub struct JobStore {
    database: database::Database,
    /// Counts the transactions of this process that put something into the outbox.
    changed: Arc<watch::Sender<u64>>,
    /// Counts those that may have left something to be told to webhooks.
    news: Arc<watch::Sender<u64>>,
}

impl JobStore {
    /// Opens a database, and brings its tables up to date: `sqlite:PATH`, which is made if it is not there, for this user
    /// alone; or `postgres://…`, which has to be there.
    ///
    /// # Errors
    /// [`StoreError::UnknownDatabase`] for another URL, [`StoreError::Migration`] for tables of a later version, and what
    /// the database or the file system says.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { database: database::Database::open(url).await?, changed: Arc::default(), news: Arc::default() })
    }

    /// Wakes who publishes and who tells webhooks, if there is something for them.
    fn wake(&self, has_published: bool, has_news: bool) {
        if has_published {
            self.changed.send_modify(|count| *count += 1);
        }
        if has_news {
            self.news.send_modify(|count| *count += 1);
        }
    }

    /// The API keys in the same database.
    pub fn keys(&self) -> KeyStore {
        KeyStore::new(self.database.clone())
    }

    /// Waits for what is under way, and closes all connections. Whatever is asked afterwards fails.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

impl fmt::Debug for JobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobStore").finish_non_exhaustive()
    }
}
