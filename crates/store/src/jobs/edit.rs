//! One change of a job: a transaction that has the job to itself. What happens to every job goes the shorter way of a
//! [`Draft`](super::draft::Draft).
//!
//! Every change begins by counting up the version of its job. That locks the row until the end, so whatever is read
//! afterwards stays true, and it tells everybody who read the job before that it is another now.

use dalston_protocol::{JobId, TaskId};

use super::{
    JobRecord, JobStore, Outgoing, TaskRecord,
    database::Transaction,
    query::{Query, statement},
    row::{self, job_columns, now, task_columns},
};
use crate::StoreError;

/// Dropped without [`finish`](Self::finish), nothing of it ever was.
pub(super) struct Edit<'s> {
    pub(super) transaction: Transaction,
    /// The one moment at which all of it happens.
    pub(super) now: i64,
    has_published: bool,
    /// Whether a webhook may be to be told something.
    pub(super) has_news: bool,
    store: &'s JobStore,
}

/// Counts up the version of the job that the condition names; `$2` is the time.
macro_rules! lock_job {
    ($condition:literal) => {
        concat!(
            "UPDATE jobs SET version = version + 1, touched_at = $2 WHERE ",
            $condition,
            " RETURNING ",
            job_columns!(),
        )
    };
}

impl<'s> Edit<'s> {
    pub(super) async fn begin(store: &'s JobStore) -> Result<Self, StoreError> {
        let transaction = store.database.begin().await?;
        Ok(Self { transaction, now: now(), has_published: false, has_news: false, store })
    }

    /// A job that has not ended.
    pub(super) async fn job(&mut self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let query = statement(lock_job!("id = $1 AND ended_at IS NULL"));
        self.lock(query.bind(id.as_str()).bind(self.now)).await
    }

    /// A tenant's job.
    pub(super) async fn job_of(&mut self, tenant: &str, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let query = statement(lock_job!("id = $1 AND tenant = $3"));
        self.lock(query.bind(id.as_str()).bind(self.now).bind(tenant)).await
    }

    /// A task and its job.
    pub(super) async fn task_and_job(&mut self, id: &TaskId) -> Result<Option<(TaskRecord, JobRecord)>, StoreError> {
        let query = statement(lock_job!("id = (SELECT job_id FROM tasks WHERE id = $1)"));
        let Some(job) = self.lock(query.bind(id.as_str()).bind(self.now)).await? else { return Ok(None) };
        let task = self.task(&job.id, id).await?;
        Ok(task.map(|task| (task, job)))
    }

    async fn lock(&mut self, query: Query) -> Result<Option<JobRecord>, StoreError> {
        let row = query.fetch_optional(&mut self.transaction).await?;
        row.as_ref().map(row::job).transpose()
    }

    /// A task of the job that is locked.
    pub(super) async fn task(&mut self, job: &JobId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        let query = statement(concat!("SELECT ", task_columns!(), " FROM tasks WHERE id = $1 AND job_id = $2"));
        let row = query.bind(id.as_str()).bind(job.as_str()).fetch_optional(&mut self.transaction).await?;
        row.as_ref().map(row::task).transpose()
    }

    /// All tasks of the job that is locked.
    pub(super) async fn tasks(&mut self, job: &JobId) -> Result<Vec<TaskRecord>, StoreError> {
        let query = statement(super::reading::TASKS_OF_JOB).bind(job.as_str());
        query.fetch_all(&mut self.transaction).await?.iter().map(row::task).collect()
    }

    /// Ends what nobody has begun among the tasks of a job.
    pub(super) async fn cancel_waiting_tasks(&mut self, job: &JobId) -> Result<(), StoreError> {
        let query = statement(
            "UPDATE tasks SET status = 'cancelled', ended_at = $2 WHERE job_id = $1 \
             AND status IN ('pending', 'ready')",
        );
        self.run(query.bind(job.as_str()).bind(self.now)).await
    }

    /// A change that gives back nothing.
    pub(super) async fn run(&mut self, query: Query) -> Result<(), StoreError> {
        query.execute(&mut self.transaction).await?;
        Ok(())
    }

    /// Puts a message into the outbox, to be published at `due_at`.
    pub(super) async fn publish(&mut self, message: &Outgoing, due_at: i64) -> Result<(), StoreError> {
        self.run(message.to_outbox(due_at)).await?;
        self.has_published = true;
        Ok(())
    }

    /// Has the job looked at.
    pub(super) async fn publish_job(&mut self, id: &JobId) -> Result<(), StoreError> {
        self.publish(&Outgoing::Job(id.clone()), self.now).await
    }

    /// Has the task given to its engine.
    pub(super) async fn publish_task(
        &mut self,
        job: &JobRecord,
        task: &TaskRecord,
        due_at: i64,
    ) -> Result<(), StoreError> {
        self.publish(&Outgoing::task(job, task), due_at).await
    }

    /// Makes it so, and wakes who has something to publish or to tell.
    pub(super) async fn finish(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        self.store.wake(self.has_published, self.has_news);
        Ok(())
    }
}
