//! What the planner decided, put into effect: changed in memory first, and then each row that is another now written once.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    TaskId,
    job::{JobError, JobStatus, TaskStatus},
};

use super::{
    JobRecord, JobStore, MAX_TASKS, NewTask, Outgoing, TaskRecord,
    draft::Draft,
    query::{Query, statement},
    row::{from_millis, millis, to_json, to_millis},
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

impl JobStore {
    /// Puts what was decided on a job and all its tasks, as [`load`](Self::load) gave them, into effect: all in order or
    /// nothing.
    ///
    /// `false`: the job is at another version, or gone. Load it and decide again.
    ///
    /// # Errors
    /// [`StoreError::Transition`] for a status that may not follow the one before, [`StoreError::NoSuchTask`] for a task
    /// of another job, [`StoreError::TooManyTasks`]; and when the database fails.
    pub async fn apply(&self, job: &JobRecord, tasks: &[TaskRecord], changes: &[Change]) -> Result<bool, StoreError> {
        let mut draft = Draft::new(self);
        let mut plan = Plan::new(job, tasks, draft.now);
        for change in changes {
            plan.apply(change)?;
        }
        if plan.job.status.is_terminal() {
            plan.cancel_open_tasks();
        }
        if plan.job.status != job.status {
            draft.tell_of_end(&plan.job);
        }
        for (position, task) in (0..).zip(&plan.tasks) {
            match task.change {
                None => {}
                Some(Kind::New) => draft.write(insertion(&task.record, position)),
                Some(Kind::Changed) => draft.write(update(&task.record)),
            }
        }
        for (message, due_at) in &plan.messages {
            draft.publish(message, *due_at);
        }
        draft.finish(job.version, &plan.job).await
    }
}

/// A job and its tasks as they are to be.
struct Plan {
    now: i64,
    job: JobRecord,
    /// In the order of their positions.
    tasks: Vec<Planned>,
    messages: Vec<(Outgoing, i64)>,
}

struct Planned {
    record: TaskRecord,
    change: Option<Kind>,
}

#[derive(Clone, Copy)]
enum Kind {
    New,
    Changed,
}

impl Plan {
    fn new(job: &JobRecord, tasks: &[TaskRecord], now: i64) -> Self {
        let tasks = tasks.iter().map(|task| Planned { record: task.clone(), change: None }).collect();
        Self { now, job: job.clone(), tasks, messages: Vec::new() }
    }

    fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Insert(task) => return self.insert(task),
            Change::Ready { task, deadline, traceparent } => {
                return self.make_ready(task, *deadline, traceparent.as_ref());
            }
            Change::Assign { task, engine_id } => return self.assign(task, engine_id),
            Change::Task { task, status, error } => return self.move_task(task, *status, error.as_ref()),
            Change::Job { status, error } => return self.move_job(*status, error.as_ref()),
            Change::Prepared { duration } => self.job.audio_duration = Some(*duration),
            Change::Result { key } => self.job.result = Some(key.clone()),
            Change::Expires(at) => self.job.expires_at = at.map(|at| from_millis(to_millis(at))),
        }
        Ok(())
    }

    fn insert(&mut self, task: &NewTask) -> Result<(), StoreError> {
        if !matches!(self.job.status, JobStatus::Pending | JobStatus::Running) {
            return Err(StoreError::transition(&self.job.id, self.job.status, "a job with another task"));
        }
        if self.tasks.len() >= MAX_TASKS as usize {
            return Err(StoreError::TooManyTasks { limit: MAX_TASKS });
        }
        let NewTask { id, node, stage, engine_id, channel, depends_on, deadline, max_attempts } = task.clone();
        let record = TaskRecord {
            id,
            job_id: self.job.id.clone(),
            node,
            stage,
            engine_id,
            channel,
            depends_on,
            status: TaskStatus::Pending,
            attempt: 0,
            failures: 0,
            crashes: 0,
            max_attempts,
            deadline,
            progress: 0.0,
            runner: None,
            output: None,
            error: None,
            traceparent: None,
            first_attempt: None,
            first_ready_at: None,
            ready_at: None,
            started_at: None,
            ended_at: None,
        };
        self.tasks.push(Planned { record, change: Some(Kind::New) });
        Ok(())
    }

    fn make_ready(&mut self, id: &TaskId, deadline: Duration, traceparent: Option<&String>) -> Result<(), StoreError> {
        let now = from_millis(self.now);
        let task = self.task_to_move(id, TaskStatus::Ready)?;
        (task.traceparent, task.deadline, task.progress) = (traceparent.cloned(), deadline, 0.0);
        task.ready_at = Some(now);
        task.first_ready_at = task.first_ready_at.or(task.ready_at);
        let task = task.clone();
        self.messages.push((Outgoing::task(&self.job, &task), self.now));
        Ok(())
    }

    fn assign(&mut self, id: &TaskId, engine_id: &str) -> Result<(), StoreError> {
        let task = self.task(id)?;
        if !matches!(task.status, TaskStatus::Pending | TaskStatus::Ready) {
            return Err(StoreError::transition(id, task.status, "a task of another engine"));
        }
        task.engine_id = engine_id.to_owned();
        let task = task.clone();
        if task.status == TaskStatus::Ready {
            // One that waits for its next attempt goes on waiting.
            let due_at = task.ready_at.map_or(self.now, to_millis).max(self.now);
            self.messages.push((Outgoing::task(&self.job, &task), due_at));
        }
        Ok(())
    }

    fn move_task(&mut self, id: &TaskId, status: TaskStatus, error: Option<&JobError>) -> Result<(), StoreError> {
        let ended_at = status.is_terminal().then(|| from_millis(self.now));
        let before = self.task(id)?.status;
        if matches!(status, TaskStatus::Ready | TaskStatus::Running | TaskStatus::Completed) {
            return Err(StoreError::transition(id, before, status));
        }
        let task = self.task_to_move(id, status)?;
        task.error = error.cloned().or(task.error.take());
        task.ended_at = ended_at;
        Ok(())
    }

    /// A task that stands there now.
    fn task_to_move(&mut self, id: &TaskId, status: TaskStatus) -> Result<&mut TaskRecord, StoreError> {
        let task = self.task(id)?;
        if !task.status.may_become(status) {
            return Err(StoreError::transition(id, task.status, status));
        }
        task.status = status;
        Ok(task)
    }

    /// A task that is to be changed.
    fn task(&mut self, id: &TaskId) -> Result<&mut TaskRecord, StoreError> {
        let task = self.tasks.iter_mut().find(|task| task.record.id == *id);
        let task = task.ok_or_else(|| StoreError::NoSuchTask { job: self.job.id.clone(), task: id.clone() })?;
        task.change.get_or_insert(Kind::Changed);
        Ok(&mut task.record)
    }

    fn cancel_open_tasks(&mut self) {
        for task in self.tasks.iter_mut().filter(|task| !task.record.status.is_terminal()) {
            task.record.status = TaskStatus::Cancelled;
            task.record.ended_at = Some(from_millis(self.now));
            task.change.get_or_insert(Kind::Changed);
        }
    }

    fn move_job(&mut self, status: JobStatus, error: Option<&JobError>) -> Result<(), StoreError> {
        if !self.job.status.may_become(status) {
            return Err(StoreError::transition(&self.job.id, self.job.status, status));
        }
        self.job.status = status;
        self.job.error = error.cloned();
        self.job.ended_at = status.is_terminal().then(|| from_millis(self.now));
        Ok(())
    }
}

fn insertion(task: &TaskRecord, position: i64) -> Query {
    let query = statement(
        "INSERT INTO tasks (id, job_id, position, node, stage, engine_id, channel, depends_on, deadline, max_attempts, \
         status, error, traceparent, first_ready_at, ready_at, ended_at, attempt, failures, crashes, progress) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 0, 0, 0, 0.0 WHERE TRUE",
    );
    query
        .bind(task.id.as_str())
        .bind(task.job_id.as_str())
        .bind(position)
        .bind(&task.node)
        .bind(&task.stage)
        .bind(&task.engine_id)
        .bind(task.channel.map(i64::from))
        .bind(to_json(&task.depends_on))
        .bind(millis(task.deadline))
        .bind(i64::from(task.max_attempts))
        .bind(task.status.as_str())
        .bind(task.error.as_ref().map(to_json))
        .bind(task.traceparent.as_deref())
        .bind(task.first_ready_at.map(to_millis))
        .bind(task.ready_at.map(to_millis))
        .bind(task.ended_at.map(to_millis))
}

/// All of a task that a [`Change`] can change. How far it is, is told meanwhile by whoever runs it, without a word to the job.
fn update(task: &TaskRecord) -> Query {
    let query = statement(
        "UPDATE tasks SET engine_id = $2, status = $3, deadline = $4, error = $5, traceparent = $6, first_ready_at = $7, \
         ready_at = $8, ended_at = $9, progress = CASE WHEN $3 = 'ready' THEN 0.0 ELSE progress END WHERE id = $1",
    );
    query
        .bind(task.id.as_str())
        .bind(&task.engine_id)
        .bind(task.status.as_str())
        .bind(millis(task.deadline))
        .bind(task.error.as_ref().map(to_json))
        .bind(task.traceparent.as_deref())
        .bind(task.first_ready_at.map(to_millis))
        .bind(task.ready_at.map(to_millis))
        .bind(task.ended_at.map(to_millis))
}
