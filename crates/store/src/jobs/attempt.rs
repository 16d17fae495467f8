//! A task in the hands of a runner.
//!
//! Each beginning counts up the task's `attempt`. That is the fencing token: whoever comes with an older one is told so, and
//! changes nothing. So a task may run more than once and is committed once.
//!
//! Two counters end a task that cannot be done. `failures` counts what runners reported, up to the task's `max_attempts`,
//! with a delay before the next try. `crashes` counts the beginnings that found the task still running, since whoever had
//! it then is gone without a word; beyond [`MAX_CRASHES`] the task itself is taken for what kills them.
//!
//! A process that dies takes all its tasks with it, and one at most has killed it. So a task that lost a few runners is a
//! suspect, and of suspects one runs at a time: what kills its runner is soon the only one that loses any, and what only ran
//! beside it ends well. Somebody who restarts a server the hard way is told apart by number alone, which is why that is
//! not small.

use std::time::Duration;

use dalston_protocol::{
    TaskId,
    job::{JobError, JobStatus, TaskStatus},
};

use super::{
    JobRecord, JobStore, Outgoing, TaskRecord,
    draft::Draft,
    edit::Edit,
    query::{Query, statement},
    row::{self, millis, to_json},
};
use crate::StoreError;

/// How often a task may lose its runner and be begun again.
pub const MAX_CRASHES: u32 = 10;
/// How many lost runners make it a suspect. The index `tasks_suspected` has this number, too.
const SUSPECT: u32 = 3;
/// How long a suspect waits before it is looked whether the one that runs is done.
const SUSPECT_DELAY: Duration = Duration::from_secs(2);
/// A suspect that was not heard of for so long does not keep others waiting: its runner is gone.
const QUIET: Duration = Duration::from_secs(30);
/// By `tasks_suspected`.
pub(super) const OTHER_SUSPECT: &str =
    "SELECT id FROM tasks WHERE status = 'running' AND crashes >= 3 AND seen_at > $2 AND id <> $1 LIMIT 1";

/// The delay before the second attempt; it doubles with each failure …
const FIRST_DELAY: Duration = Duration::from_secs(2);
/// … up to here. Each is drawn anew between half of it and one and a half.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Whether there is something to do.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "lives for a moment, and work is the usual answer")]
pub enum Started {
    /// The task is the caller's, with everything needed to do it.
    Run(Work),
    /// It lost its runner too often, and has failed for that.
    Poisoned,
    /// It is done, cancelled, not yet to be done, gone, or in the hands of another. It may also have to wait for another
    /// suspect, and comes again by itself.
    Stale,
}

/// What a runner needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The task; its `attempt` is the caller's token.
    pub task: TaskRecord,
    /// Its job.
    pub job: JobRecord,
    /// The tasks whose output it needs.
    pub dependencies: Vec<TaskRecord>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    /// A word of the program.
    pub code: String,
    /// For the job's owner.
    pub message: String,
    /// Whether another attempt might go better.
    pub retryable: bool,
}

impl JobStore {
    /// Begins a task that waits, or, with `redelivered`, that somebody had who let the message go. A message may also come
    /// twice because it was published twice: a task that runs is then left to whoever has it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(&self, task: &TaskId, runner: &str, redelivered: bool) -> Result<Started, StoreError> {
        self.start_in(task, runner, redelivered, |_| None).await
    }

    /// The same, when tracing is on: `open` makes the attempt's span, once, when the attempt is about to begin, and tells its
    /// `traceparent`. Should another change the task at that moment, there may be no attempt after all. The first span of a
    /// task is kept with its beginning, so that whoever has the task after a runner was killed knows it.
    ///
    /// # Errors
    /// When the database fails; the attempt whose span was opened has not begun then.
    pub async fn start_in(
        &self,
        task: &TaskId,
        runner: &str,
        redelivered: bool,
        open: impl FnOnce(&TaskRecord) -> Option<String>,
    ) -> Result<Started, StoreError> {
        // Once: should another change the job before this one can, the second try has the same span.
        let (mut open, mut span) = (Some(open), None);
        let mut open = |task: &TaskRecord| {
            if let Some(open) = open.take() {
                span = open(task);
            }
            span.clone()
        };
        match self.start_at_once(task, runner, &mut open).await? {
            Some(started) => Ok(started),
            None => self.start_alone(task, runner, redelivered, open).await,
        }
    }

    /// Begins a task that waits and that there is nothing particular about. `None`: there is, or the job was changed meanwhile.
    async fn start_at_once(
        &self,
        id: &TaskId,
        runner: &str,
        open: impl FnOnce(&TaskRecord) -> Option<String>,
    ) -> Result<Option<Started>, StoreError> {
        let Some((mut job, mut tasks)) = self.load_of(id).await? else { return Ok(Some(Started::Stale)) };
        let Some(place) = tasks.iter().position(|task| task.id == *id) else { return Ok(Some(Started::Stale)) };
        let mut task = tasks.remove(place);
        if task.status != TaskStatus::Ready || task.crashes >= SUSPECT || job.status == JobStatus::Cancelling {
            return Ok(None);
        }
        let (mut draft, version) = (Draft::new(self), job.version);
        draft.write(begin(&mut task, &mut job, runner, draft.now, open));
        if !draft.finish(version, &job).await? {
            return Ok(None);
        }
        job.version += 1;
        tasks.retain(|other| task.depends_on.contains(&other.node));
        Ok(Some(Started::Run(Work { task, job, dependencies: tasks })))
    }

    async fn start_alone(
        &self,
        id: &TaskId,
        runner: &str,
        redelivered: bool,
        open: impl FnOnce(&TaskRecord) -> Option<String>,
    ) -> Result<Started, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some((mut task, mut job)) = edit.task_and_job(id).await? else { return Ok(Started::Stale) };
        let was_running = match task.status {
            TaskStatus::Ready => false,
            TaskStatus::Running if redelivered => true,
            _ => return Ok(Started::Stale),
        };
        if job.status == JobStatus::Cancelling {
            // Whoever had it did not live to say that it ended.
            edit.end(&task, TaskStatus::Cancelled, None).await?;
            edit.publish_job(&job.id).await?;
            edit.finish().await?;
            return Ok(Started::Stale);
        }
        task.crashes += u32::from(was_running);
        if edit.is_poison(&task).await? {
            edit.publish_job(&job.id).await?;
            edit.finish().await?;
            return Ok(Started::Poisoned);
        }
        if task.crashes >= SUSPECT && edit.another_suspect_runs(&task).await? {
            let due_at = edit.now.saturating_add(millis(SUSPECT_DELAY));
            edit.take_back(&task, due_at).await?;
            edit.publish_task(&job, &task, due_at).await?;
            edit.finish().await?;
            return Ok(Started::Stale);
        }
        let query = begin(&mut task, &mut job, runner, edit.now, open);
        edit.run(query).await?;
        let query = statement("UPDATE jobs SET status = $2, started_at = $3 WHERE id = $1");
        let query = query.bind(job.id.as_str()).bind(job.status.as_str());
        edit.run(query.bind(job.started_at.map(row::to_millis))).await?;
        let mut dependencies = Vec::new();
        if !task.depends_on.is_empty() {
            dependencies = edit.tasks(&job.id).await?;
            dependencies.retain(|other| task.depends_on.contains(&other.node));
        }
        edit.finish().await?;
        Ok(Started::Run(Work { task, job, dependencies }))
    }

    /// Completes a task with the artifact that holds what it came to. `false`: the task is not the caller's any more, and
    /// what it wrote is nobody's.
    ///
    /// # Errors
    /// When the database fails; the task may be committed then, and a second call says `false`.
    pub async fn commit(&self, task: &TaskId, attempt: u32, output: &str) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some((task, job)) = edit.attempt(task, attempt).await? else { return Ok(false) };
        edit.run(completion(&task.id, output, edit.now)).await?;
        edit.publish_job(&job.id).await?;
        edit.finish().await?;
        Ok(true)
    }

    /// The same for an attempt as [`start`](Self::start) gave it, and in one statement if nothing else happened to the job
    /// since.
    ///
    /// # Errors
    /// As said.
    pub async fn commit_begun(&self, task: &TaskRecord, job: &JobRecord, output: &str) -> Result<bool, StoreError> {
        let mut draft = Draft::new(self);
        // At that version the task runs, and this attempt has it.
        draft.write(completion(&task.id, output, draft.now));
        draft.publish(&Outgoing::Job(job.id.clone()), draft.now);
        if draft.finish(job.version, job).await? {
            return Ok(true);
        }
        self.commit(&task.id, task.attempt, output).await
    }

    /// Ends an attempt without success. The task is to be done again after a delay, if that may help and it has not failed
    /// `max_attempts` times; if the job is being cancelled, it is cancelled. `false`: the task is not the caller's any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail(&self, task: &TaskId, attempt: u32, error: &TaskFailure) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some((task, job)) = edit.attempt(task, attempt).await? else { return Ok(false) };
        let failures = task.failures + 1;
        let error_of_stage =
            JobError { code: error.code.clone(), message: error.message.clone(), stage: Some(task.stage.clone()) };
        if job.status == JobStatus::Cancelling {
            edit.end(&task, TaskStatus::Cancelled, None).await?;
        } else if error.retryable && failures < task.max_attempts {
            let due_at = edit.now.saturating_add(millis(delay(failures)));
            edit.retry(&task, failures, &error_of_stage, due_at).await?;
            edit.publish_task(&job, &task, due_at).await?;
        } else {
            edit.count_failures(&task, failures).await?;
            edit.end(&task, TaskStatus::Failed, Some(&error_of_stage)).await?;
        }
        edit.publish_job(&job.id).await?;
        edit.finish().await?;
        Ok(true)
    }
}

impl Edit<'_> {
    /// The task, if this attempt has it.
    pub(super) async fn attempt(
        &mut self,
        id: &TaskId,
        attempt: u32,
    ) -> Result<Option<(TaskRecord, JobRecord)>, StoreError> {
        let found = self.task_and_job(id).await?;
        // A terminal job has no task that runs.
        Ok(found.filter(|(task, _)| task.status == TaskStatus::Running && task.attempt == attempt))
    }

    pub(super) async fn retry(
        &mut self,
        task: &TaskRecord,
        failures: u32,
        error: &JobError,
        due_at: i64,
    ) -> Result<(), StoreError> {
        let query = statement(
            "UPDATE tasks SET status = 'ready', failures = $2, error = $3, ready_at = $4, progress = 0.0 \
             WHERE id = $1",
        );
        self.run(query.bind(task.id.as_str()).bind(i64::from(failures)).bind(to_json(error)).bind(due_at)).await
    }

    /// Whether the task has lost too many runners, in which case it has failed for that.
    pub(super) async fn is_poison(&mut self, task: &TaskRecord) -> Result<bool, StoreError> {
        if task.crashes <= MAX_CRASHES {
            return Ok(false);
        }
        let message = format!("whoever ran this task was gone without a word {} times", task.crashes);
        let error = JobError { code: "poison".into(), message, stage: Some(task.stage.clone()) };
        let query = statement("UPDATE tasks SET crashes = $2 WHERE id = $1");
        self.run(query.bind(task.id.as_str()).bind(i64::from(task.crashes))).await?;
        self.end(task, TaskStatus::Failed, Some(&error)).await?;
        Ok(true)
    }

    /// Two that look at the same moment may both find none: then two run at once for once.
    async fn another_suspect_runs(&mut self, task: &TaskRecord) -> Result<bool, StoreError> {
        let query = statement(OTHER_SUSPECT).bind(task.id.as_str()).bind(self.now.saturating_sub(millis(QUIET)));
        Ok(query.fetch_optional(&mut self.transaction).await?.is_some())
    }

    async fn count_failures(&mut self, task: &TaskRecord, failures: u32) -> Result<(), StoreError> {
        let query = statement("UPDATE tasks SET failures = $2 WHERE id = $1");
        self.run(query.bind(task.id.as_str()).bind(i64::from(failures))).await
    }

    /// Ends a task for good.
    pub(super) async fn end(
        &mut self,
        task: &TaskRecord,
        status: TaskStatus,
        error: Option<&JobError>,
    ) -> Result<(), StoreError> {
        let query = statement("UPDATE tasks SET status = $2, error = COALESCE($3, error), ended_at = $4 WHERE id = $1");
        self.run(query.bind(task.id.as_str()).bind(status.as_str()).bind(error.map(to_json)).bind(self.now)).await
    }
}

/// An attempt that begins: the records as they are then, and what changes the task's row.
fn begin(
    task: &mut TaskRecord,
    job: &mut JobRecord,
    runner: &str,
    now: i64,
    open: impl FnOnce(&TaskRecord) -> Option<String>,
) -> Query {
    (task.status, task.attempt, task.progress) = (TaskStatus::Running, task.attempt + 1, 0.0);
    task.runner = Some(runner.to_owned());
    task.started_at = Some(row::from_millis(now));
    job.status = JobStatus::Running;
    job.started_at = job.started_at.or(task.started_at);
    let span = open(task);
    let query = statement(
        "UPDATE tasks SET status = 'running', attempt = $2, crashes = $3, runner = $4, started_at = $5, \
         seen_at = $5, progress = 0.0, first_attempt = COALESCE(first_attempt, $6) WHERE id = $1",
    );
    let query = query.bind(task.id.as_str()).bind(i64::from(task.attempt)).bind(i64::from(task.crashes));
    query.bind(runner).bind(now).bind(span)
}

fn completion(task: &TaskId, output: &str, now: i64) -> Query {
    let query =
        statement("UPDATE tasks SET status = 'completed', output = $2, progress = 1.0, ended_at = $3 WHERE id = $1");
    query.bind(task.as_str()).bind(output).bind(now)
}

/// The delay after so many failures.
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY).mul_f64(rand::random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_with_jitter_up_to_a_minute() {
        for (failures, middle) in [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (40, 60), (u32::MAX, 60)] {
            let middle = Duration::from_secs(middle);
            let delay = delay(failures);
            assert!(delay >= middle / 2 && delay < middle * 3 / 2, "{delay:?} after {failures} failures");
        }
    }
}
