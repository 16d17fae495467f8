//! A change of a job that was decided on what was read of it, and is written in one go.
//!
//! Nothing is locked between reading and writing. The version of the job tells whether it is still what was read, and if it is
//! not, nothing is written. So a change that meets no other takes PostgreSQL two statements, one that reads and one that
//! writes; an [`Edit`](super::edit::Edit) takes a statement for each thing that it does, a transaction around them, and the
//! row of the job until that ends.

use super::{JobRecord, JobStore, Outgoing, query::Query, query::statement, row};
use crate::StoreError;

/// Dropped without [`finish`](Self::finish) or [`finish_with`](Self::finish_with), nothing of it ever was.
pub(super) struct Draft<'s> {
    /// The one moment at which all of it happens.
    pub(super) now: i64,
    rest: Vec<Query>,
    has_published: bool,
    /// Whether a webhook may be to be told something.
    pub(super) has_news: bool,
    store: &'s JobStore,
}

impl<'s> Draft<'s> {
    pub(super) fn new(store: &'s JobStore) -> Self {
        Self { now: row::now(), rest: Vec::new(), has_published: false, has_news: false, store }
    }

    /// A change beside that of the job. Its text ends in a condition, and no other may change the same row.
    pub(super) fn write(&mut self, query: Query) {
        self.rest.push(query);
    }

    /// Puts a message into the outbox, to be published at `due_at`.
    pub(super) fn publish(&mut self, message: &Outgoing, due_at: i64) {
        self.write(message.to_outbox(due_at));
        self.has_published = true;
    }

    /// Has it come true, if the job still has the version it had `before`. `false`: somebody else changed it meanwhile, and
    /// nothing of this happened.
    pub(super) async fn finish(self, before: i64, job: &JobRecord) -> Result<bool, StoreError> {
        let query = statement(
            "UPDATE jobs SET version = version + 1, touched_at = $3, status = $4, error = $5, started_at = $6, \
             ended_at = $7, audio_duration = $8, result = $9, expires_at = $10 WHERE id = $1 AND version = $2",
        );
        let query = query.bind(job.id.as_str()).bind(before).bind(self.now);
        let query = query.bind(job.status.as_str()).bind(job.error.as_ref().map(row::to_json));
        let query = query.bind(job.started_at.map(row::to_millis)).bind(job.ended_at.map(row::to_millis));
        let query = query.bind(job.audio_duration).bind(job.result.as_deref());
        let query = query.bind(job.expires_at.map(row::to_millis));
        self.finish_with(query).await
    }

    /// The same with a statement of its own for the job: all of it happens if that changes a row.
    pub(super) async fn finish_with(self, first: Query) -> Result<bool, StoreError> {
        let is_written = self.store.database.write(first, self.rest).await?;
        if is_written {
            self.store.wake(self.has_published, self.has_news);
        }
        Ok(is_written)
    }
}
