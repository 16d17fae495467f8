//! Whether whoever has a task is still there.
//!
//! A runner speaks up every few seconds ([`progress`](JobStore::progress)) and hears whether to go on. What was not heard of
//! for long is given out again ([`dispatch_again`](JobStore::dispatch_again)).

use std::time::SystemTime;

use dalston_protocol::{
    JobId, TaskId,
    job::{JobStatus, TaskStatus},
};

use super::{
    JobStore, TaskRecord,
    edit::Edit,
    engine_queue,
    query::statement,
    row::{self, Row, task_columns, to_millis},
};
use crate::StoreError;

/// How a runner stands to the task it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Go on.
    Yours,
    /// The job was cancelled or has failed elsewhere: stop. [`JobStore::fail`] then tells that nothing runs any more.
    Cancelled,
    /// Another has it, or it is gone: stop, and say nothing.
    Lost,
}

impl JobStore {
    /// Tells how far an attempt is, from 0 to 1, and asks whether to go on. To be called every few seconds whether there is
    /// news or not: it also tells that the job is not forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn progress(&self, task: &TaskId, attempt: u32, done: f64) -> Result<Standing, StoreError> {
        let standing = self.standing(task, attempt).await?;
        if standing == Standing::Yours {
            let mut edit = Edit::begin(self).await?;
            // The job before the task, as everywhere, and without counting up its version: nothing that is decided on it
            // becomes wrong.
            let query =
                statement("UPDATE jobs SET touched_at = $2 WHERE id = (SELECT job_id FROM tasks WHERE id = $1)");
            edit.run(query.bind(task.as_str()).bind(edit.now)).await?;
            let query = statement(
                "UPDATE tasks SET progress = $3, seen_at = $4 WHERE id = $1 AND attempt = $2 AND status = 'running'",
            );
            // A database would refuse what is not a number.
            let done = if done.is_nan() { 0.0 } else { done.clamp(0.0, 1.0) };
            let query = query.bind(task.as_str()).bind(i64::from(attempt)).bind(done);
            edit.run(query.bind(edit.now)).await?;
            edit.finish().await?;
        }
        Ok(standing)
    }

    async fn standing(&self, task: &TaskId, attempt: u32) -> Result<Standing, StoreError> {
        let query = statement(
            "SELECT tasks.status AS task_status, attempt, jobs.status AS job_status FROM tasks \
             JOIN jobs ON jobs.id = tasks.job_id WHERE tasks.id = $1",
        );
        let row = query.bind(task.as_str()).fetch_optional(self.database.reader_of_new()).await?;
        let Some(row) = row else { return Ok(Standing::Lost) };
        let row = Row(&row);
        if row.get::<i64>("attempt")? != i64::from(attempt) {
            return Ok(Standing::Lost);
        }
        let job: JobStatus = row.word("job_status")?;
        Ok(match row.word("task_status")? {
            TaskStatus::Running if job == JobStatus::Cancelling => Standing::Cancelled,
            TaskStatus::Running => Standing::Yours,
            TaskStatus::Cancelled => Standing::Cancelled,
            _ => Standing::Lost,
        })
    }

    /// Gives a task back that its runner cannot go on with, through no fault of the task: it waits again, and counts
    /// neither as failed nor as crashed. Its message is the caller's to release. In a job that is being cancelled it ends.
    /// `false`: the task is not the caller's any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_back(&self, task: &TaskId, attempt: u32) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some((task, job)) = edit.attempt(task, attempt).await? else { return Ok(false) };
        if job.status == JobStatus::Cancelling {
            edit.end(&task, TaskStatus::Cancelled, None).await?;
            edit.publish_job(&job.id).await?;
        } else {
            edit.take_back(&task, edit.now).await?;
        }
        edit.finish().await?;
        Ok(true)
    }

    /// Gives the tasks of a job out again: those whose runner has not been heard of since `since`, and those that have waited
    /// since before then and whose message is lost, as `is_lost` tells by the queue and by when the task was given out last.
    /// For messages that were lost, and runners that were lost with their messages.
    ///
    /// Gives back the tasks that have lost too many runners, and have failed for that.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dispatch_again(
        &self,
        job: &JobId,
        since: SystemTime,
        is_lost: impl Fn(&str, SystemTime) -> bool + Send + Sync,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let mut poisoned = Vec::new();
        let Some(job) = edit.job(job).await? else { return Ok(poisoned) };
        for (mut task, given_out) in edit.quiet_tasks(&job.id, to_millis(since)).await? {
            if job.status == JobStatus::Cancelling {
                edit.end(&task, TaskStatus::Cancelled, None).await?;
            } else if task.status == TaskStatus::Running {
                task.crashes += 1;
                if edit.is_poison(&task).await? {
                    poisoned.push(task);
                } else {
                    edit.take_back(&task, edit.now).await?;
                    edit.publish_task(&job, &task, edit.now).await?;
                }
            } else if is_lost(&engine_queue(&task.engine_id), given_out) {
                let query = statement("UPDATE tasks SET seen_at = $2 WHERE id = $1");
                edit.run(query.bind(task.id.as_str()).bind(edit.now)).await?;
                edit.publish_task(&job, &task, edit.now).await?;
            }
        }
        edit.publish_job(&job.id).await?;
        edit.finish().await?;
        Ok(poisoned)
    }
}

impl Edit<'_> {
    /// Tasks that wait, or run, and that nothing was heard of since then; and when they were heard of, or given out, last. Of
    /// one that waits, `seen_at` is when it was given out again.
    async fn quiet_tasks(&mut self, job: &JobId, since: i64) -> Result<Vec<(TaskRecord, SystemTime)>, StoreError> {
        let query = statement(concat!(
            "SELECT ",
            task_columns!(),
            ", seen_at FROM tasks WHERE job_id = $1 AND (seen_at IS NULL OR seen_at <= $2) \
             AND ((status = 'ready' AND ready_at <= $2) OR status = 'running') ORDER BY position"
        ));
        let rows = query.bind(job.as_str()).bind(since).fetch_all(&mut self.transaction).await?;
        let heard_of = |row| {
            let task = row::task(row)?;
            let last = Row(row).time("seen_at")?.max(task.ready_at);
            Ok((task, last.unwrap_or(SystemTime::UNIX_EPOCH)))
        };
        rows.iter().map(heard_of).collect()
    }

    /// Has a task wait again that its runner does not go on with.
    pub(super) async fn take_back(&mut self, task: &TaskRecord, ready_at: i64) -> Result<(), StoreError> {
        let query = statement("UPDATE tasks SET status = 'ready', crashes = $2, ready_at = $3 WHERE id = $1");
        self.run(query.bind(task.id.as_str()).bind(i64::from(task.crashes)).bind(ready_at)).await
    }
}
