//! What the planner decided, put into effect.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    JobId, TaskId,
    job::{JobError, JobStatus, TaskStatus},
};

use super::{
    JobRecord, JobStore, MAX_TASKS, NewTask, TaskRecord,
    edit::Edit,
    query::statement,
    row::{Row, from_millis, millis, to_json, to_millis},
};
use crate::StoreError;

/// One thing that the planner decided about a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The job has this task too.
    Insert(NewTask),
    /// What the task depends on is done: it is given to its engine.
    Ready {
        /// The task.
        task: TaskId,
        /// How long one attempt may take: known better now than when it was inserted.
        deadline: Duration,
        /// The span that made it ready, when tracing is on.
        traceparent: Option<String>,
    },
    /// Another engine is to do a task that waits: nobody has the one it was for.
    Assign {
        /// The task.
        task: TaskId,
        /// Who does it now.
        engine_id: String,
    },
    /// The task stands here now. That it runs or is completed is for its runner to say, that it is ready for
    /// [`Ready`](Self::Ready).
    Task {
        /// The task.
        task: TaskId,
        /// Where.
        status: TaskStatus,
        /// Why, if it failed.
        error: Option<JobError>,
    },
    /// The job stands here now. Terminal, it ends what has not ended among its tasks.
    Job {
        /// Where.
        status: JobStatus,
        /// Why, if it failed.
        error: Option<JobError>,
    },
    /// The audio was read.
    Prepared {
        /// Its length in seconds.
        duration: f64,
    },
    /// The transcript is there.
    Result {
        /// Its artifact.
        key: String,
    },
    /// When the job is to be removed; it has to be terminal then.
    Expires(Option<SystemTime>),
}

impl Change {
    /// Whether it is written into the row of the job itself.
    fn is_of_job(&self) -> bool {
        matches!(self, Self::Job { .. } | Self::Prepared { .. } | Self::Result { .. } | Self::Expires(_))
    }
}

impl JobStore {
    /// Puts what was decided on a job at `version` into effect, all in order or nothing.
    ///
    /// `false`: the job is at another version, or gone. Load it and decide again.
    ///
    /// # Errors
    /// [`StoreError::Transition`] for a status that may not follow the one before, [`StoreError::NoSuchTask`] for a task
    /// of another job, [`StoreError::TooManyTasks`]; and when the database fails.
    pub async fn apply(&self, id: &JobId, version: i64, changes: &[Change]) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some(mut job) = edit.job_at(id, version).await? else { return Ok(false) };
        for change in changes {
            edit.apply(&mut job, change).await?;
        }
        if changes.iter().any(Change::is_of_job) {
            edit.write(&job).await?;
        }
        if job.status.is_terminal() {
            edit.cancel_open_tasks(id).await?;
        }
        edit.finish().await?;
        Ok(true)
    }
}

impl Edit<'_> {
    /// What is of the job itself is changed in the record only.
    async fn apply(&mut self, job: &mut JobRecord, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Insert(task) => self.insert(job, task).await,
            Change::Ready { task, deadline, traceparent } => {
                self.make_ready(job, task, *deadline, traceparent.as_ref()).await
            }
            Change::Assign { task, engine_id } => self.assign(job, task, engine_id).await,
            Change::Task { task, status, error } => self.move_task(job, task, *status, error.as_ref()).await,
            Change::Job { status, error } => self.move_job(job, *status, error.as_ref()).await,
            Change::Prepared { duration } => {
                job.audio_duration = Some(*duration);
                Ok(())
            }
            Change::Result { key } => {
                job.result = Some(key.clone());
                Ok(())
            }
            Change::Expires(at) => {
                job.expires_at = *at;
                Ok(())
            }
        }
    }

    async fn insert(&mut self, job: &JobRecord, task: &NewTask) -> Result<(), StoreError> {
        if !matches!(job.status, JobStatus::Pending | JobStatus::Running) {
            return Err(StoreError::transition(&job.id, job.status, "a job with another task"));
        }
        let query = statement(
            "INSERT INTO tasks (id, job_id, position, node, stage, engine_id, channel, depends_on, deadline, \
             max_attempts, status, attempt, failures, crashes, progress) \
             VALUES ($1, $2, (SELECT COUNT(*) FROM tasks WHERE job_id = $2), $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, \
             0.0) RETURNING position",
        );
        let query = query
            .bind(task.id.as_str())
            .bind(job.id.as_str())
            .bind(task.node.as_str())
            .bind(task.stage.as_str())
            .bind(task.engine_id.as_str())
            .bind(task.channel.map(i64::from))
            .bind(to_json(&task.depends_on))
            .bind(millis(task.deadline))
            .bind(i64::from(task.max_attempts))
            .bind(TaskStatus::Pending.as_str());
        let position: i64 = Row(&query.fetch_one(&mut self.transaction).await?).get("position")?;
        if position >= MAX_TASKS {
            return Err(StoreError::TooManyTasks { limit: MAX_TASKS });
        }
        Ok(())
    }

    async fn make_ready(
        &mut self,
        job: &JobRecord,
        id: &TaskId,
        deadline: Duration,
        traceparent: Option<&String>,
    ) -> Result<(), StoreError> {
        let task = self.task_to_move(job, id, TaskStatus::Ready).await?;
        let query = statement(
            "UPDATE tasks SET status = 'ready', traceparent = $2, ready_at = $3, \
             first_ready_at = COALESCE(first_ready_at, $3), progress = 0.0, deadline = $4 WHERE id = $1",
        );
        let query = query.bind(id.as_str()).bind(traceparent.map(String::as_str)).bind(self.now);
        self.run(query.bind(millis(deadline))).await?;
        let task = TaskRecord { traceparent: traceparent.cloned(), ..task };
        self.publish_task(job, &task, self.now).await
    }

    async fn assign(&mut self, job: &JobRecord, id: &TaskId, engine_id: &str) -> Result<(), StoreError> {
        let task = self.task_of(job, id).await?;
        if !matches!(task.status, TaskStatus::Pending | TaskStatus::Ready) {
            return Err(StoreError::transition(id, task.status, "a task of another engine"));
        }
        let query = statement("UPDATE tasks SET engine_id = $2 WHERE id = $1");
        self.run(query.bind(id.as_str()).bind(engine_id)).await?;
        if task.status == TaskStatus::Pending {
            return Ok(());
        }
        // One that waits for its next attempt goes on waiting.
        let due_at = task.ready_at.map_or(self.now, to_millis).max(self.now);
        self.publish_task(job, &TaskRecord { engine_id: engine_id.to_owned(), ..task }, due_at).await
    }

    async fn move_task(
        &mut self,
        job: &JobRecord,
        id: &TaskId,
        status: TaskStatus,
        error: Option<&JobError>,
    ) -> Result<(), StoreError> {
        let task = self.task_to_move(job, id, status).await?;
        if matches!(status, TaskStatus::Ready | TaskStatus::Running | TaskStatus::Completed) {
            return Err(StoreError::transition(id, task.status, status));
        }
        let query = statement("UPDATE tasks SET status = $2, error = COALESCE($3, error), ended_at = $4 WHERE id = $1");
        let query = query.bind(id.as_str()).bind(status.as_str()).bind(error.map(to_json));
        let ended_at = status.is_terminal().then_some(self.now);
        self.run(query.bind(ended_at)).await
    }

    async fn task_to_move(
        &mut self,
        job: &JobRecord,
        id: &TaskId,
        status: TaskStatus,
    ) -> Result<TaskRecord, StoreError> {
        let task = self.task_of(job, id).await?;
        if !task.status.may_become(status) {
            return Err(StoreError::transition(id, task.status, status));
        }
        Ok(task)
    }

    async fn task_of(&mut self, job: &JobRecord, id: &TaskId) -> Result<TaskRecord, StoreError> {
        let task = self.task(&job.id, id).await?;
        task.ok_or_else(|| StoreError::NoSuchTask { job: job.id.clone(), task: id.clone() })
    }

    async fn move_job(
        &mut self,
        job: &mut JobRecord,
        status: JobStatus,
        error: Option<&JobError>,
    ) -> Result<(), StoreError> {
        if !job.status.may_become(status) {
            return Err(StoreError::transition(&job.id, job.status, status));
        }
        job.status = status;
        job.error = error.cloned();
        job.ended_at = status.is_terminal().then(|| from_millis(self.now));
        self.tell_of_end(job, status, error).await
    }

    /// The row of a job that is locked: all of it that a [`Change`] can change, in one statement.
    async fn write(&mut self, job: &JobRecord) -> Result<(), StoreError> {
        let query = statement(
            "UPDATE jobs SET status = $2, error = $3, ended_at = $4, audio_duration = $5, \
             result = $6, expires_at = $7 WHERE id = $1",
        );
        let query = query
            .bind(job.id.as_str())
            .bind(job.status.as_str())
            .bind(job.error.as_ref().map(to_json))
            .bind(job.ended_at.map(to_millis))
            .bind(job.audio_duration)
            .bind(job.result.as_deref())
            .bind(job.expires_at.map(to_millis));
        self.run(query).await
    }
}
