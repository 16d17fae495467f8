//! What the owner of a job does with it.

use dalston_protocol::{
    JobId,
    job::{JobStatus, TaskStatus},
    realtime::Retention,
};

use super::{JobStore, edit::Edit, query::statement, row::Row};
use crate::StoreError;

/// What became of [`delete`](JobStore::delete).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone with its tasks; its artifacts are the caller's to remove.
    Yes,
    /// There is none.
    NotFound,
    /// It is not terminal: cancel it first.
    NotTerminal,
}

impl JobStore {
    /// Names a job otherwise, or not at all. `false`: there is none.
    ///
    /// # Errors
    /// When the database fails, as everywhere here.
    pub async fn rename(&self, tenant: &str, id: &JobId, name: Option<&str>) -> Result<bool, StoreError> {
        let query = statement("UPDATE jobs SET name = $3 WHERE id = $1 AND tenant = $2");
        self.database.write(query.bind(id.as_str()).bind(tenant).bind(name), Vec::new()).await
    }

    /// Forgets a job that has ended.
    ///
    /// # Errors
    /// As said.
    pub async fn delete(&self, tenant: &str, id: &JobId) -> Result<Deleted, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some(job) = edit.job_of(tenant, id).await? else { return Ok(Deleted::NotFound) };
        if !job.status.is_terminal() {
            return Ok(Deleted::NotTerminal);
        }
        edit.run(statement("DELETE FROM jobs WHERE id = $1").bind(id.as_str())).await?;
        edit.finish().await?;
        Ok(Deleted::Yes)
    }

    /// Ends a job: at once if none of its tasks runs, or else as soon as none does. What waits is not begun any more, and
    /// what runs learns of it by [`progress`](Self::progress). A job that has ended stays as it is.
    ///
    /// Gives back where the job stands now; `None`: there is none.
    ///
    /// # Errors
    /// As said.
    pub async fn cancel(&self, tenant: &str, id: &JobId) -> Result<Option<JobStatus>, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some(mut job) = edit.job_of(tenant, id).await? else { return Ok(None) };
        if job.status.is_terminal() || job.status == JobStatus::Cancelling {
            return Ok(Some(job.status));
        }
        edit.cancel_waiting_tasks(id).await?;
        let query = statement("SELECT EXISTS (SELECT 1 FROM tasks WHERE job_id = $1 AND status = 'running') AS runs");
        let row = query.bind(id.as_str()).fetch_one(&mut edit.transaction).await?;
        job.status = if Row(&row).is("runs")? { JobStatus::Cancelling } else { JobStatus::Cancelled };
        let query = statement("UPDATE jobs SET status = $2, ended_at = $3 WHERE id = $1");
        let ended_at = job.status.is_terminal().then_some(edit.now);
        edit.run(query.bind(id.as_str()).bind(job.status.as_str()).bind(ended_at)).await?;
        edit.tell_of_end(&job).await?;
        edit.publish_job(id).await?;
        edit.finish().await?;
        Ok(Some(job.status))
    }

    /// Has another try at a job that failed: its failed tasks are given out again with all their attempts, and what was
    /// cancelled for their sake waits again. `false`: there is none that failed, or it was not to be kept, so that its audio
    /// was removed when it ended.
    ///
    /// # Errors
    /// As said.
    pub async fn replay(&self, tenant: &str, id: &JobId) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some(job) = edit.job_of(tenant, id).await? else { return Ok(false) };
        if job.status != JobStatus::Failed || job.parameters.retention == Retention::None {
            return Ok(false);
        }
        // `attempt` stays: a zombie of the first try must not take part in the second.
        let query = statement(
            "UPDATE tasks SET status = 'ready', failures = 0, crashes = 0, put_off = 0, progress = 0.0, ready_at = $2, \
             first_ready_at = $2, started_at = NULL, ended_at = NULL WHERE job_id = $1 AND status = 'failed'",
        );
        edit.run(query.bind(id.as_str()).bind(edit.now)).await?;
        let query = statement(
            "UPDATE tasks SET status = 'pending', failures = 0, crashes = 0, put_off = 0, progress = 0.0, ready_at = NULL, \
             first_ready_at = NULL, started_at = NULL, ended_at = NULL WHERE job_id = $1 AND status = 'cancelled'",
        );
        edit.run(query.bind(id.as_str())).await?;
        let query = statement(
            "UPDATE jobs SET status = 'running', error = NULL, ended_at = NULL, expires_at = NULL WHERE id = $1",
        );
        edit.run(query.bind(id.as_str())).await?;
        for task in edit.tasks(id).await?.iter().filter(|task| task.status == TaskStatus::Ready) {
            edit.publish_task(&job, task, edit.now).await?;
        }
        edit.publish_job(id).await?;
        edit.finish().await?;
        Ok(true)
    }
}
