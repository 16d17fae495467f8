//! Looking at jobs without changing them.

use std::time::SystemTime;

use dalston_protocol::{
    JobId, TaskId,
    job::{JobStatus, TaskStatus},
};

use super::{
    JobRecord, JobStore, TaskRecord,
    cursor::Cursor,
    query::{Query, SqlRow, split, statement},
    row::{self, JOB_COLUMNS, Row, job_columns, task_columns, to_millis},
};
use crate::StoreError;

/// Most jobs on a page, and most entries of any other list.
pub const MAX_PAGE: u32 = 1_000;

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Only those that stand there.
    pub status: Option<JobStatus>,
    /// Only those accepted then or later.
    pub since: Option<SystemTime>,
    /// Most on a page: 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// What the page before gave.
    pub cursor: Option<String>,
}

/// Jobs, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobRecord>,
    /// Gives the next page; absent on the last. The text means nothing outside.
    pub next_cursor: Option<String>,
}

/// A task that failed for good, in a job that did.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadTask {
    /// What the job is called.
    pub job_name: Option<String>,
    /// The task, with its last error.
    pub task: TaskRecord,
}

/// Tasks that failed for good.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadPage {
    /// The tasks.
    pub tasks: Vec<DeadTask>,
    /// Gives the next page; absent on the last.
    pub next_cursor: Option<String>,
}

/// By the primary key.
pub(super) const JOB: &str = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1");
/// By `tasks_by_job`.
pub(super) const TASKS_OF_JOB: &str =
    concat!("SELECT ", task_columns!(), " FROM tasks WHERE job_id = $1 ORDER BY position LIMIT 1024");
/// A job beside each of its tasks, or beside nothing if it has none. By the primary key and `tasks_by_job`.
macro_rules! load {
    ($condition:literal) => {
        concat!(
            "SELECT * FROM (SELECT ",
            job_columns!(),
            " FROM jobs WHERE ",
            $condition,
            ") AS job LEFT JOIN (SELECT ",
            task_columns!(),
            ", position FROM tasks) AS task ON task.job_id = job.id ORDER BY position LIMIT 1024",
        )
    };
}
pub(super) const LOAD: &str = load!("id = $1");
pub(super) const LOAD_OF_TASK: &str = load!("id = (SELECT job_id FROM tasks WHERE id = $1)");
/// By `jobs_by_tenant`.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM jobs WHERE tenant = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4",
);
/// By `jobs_by_status`. With a lower bound in time, too, SQLite would take the other index and skip what does not match.
pub(super) const LIST_OF_STATUS: &str = concat!(
    "SELECT ",
    job_columns!(),
    " FROM jobs WHERE tenant = $1 AND status = $5 AND (created_at, id) < ($2, $3) ",
    "ORDER BY created_at DESC, id DESC LIMIT $4",
);
/// By `jobs_open`.
pub(super) const OPEN: &str =
    "SELECT id FROM jobs WHERE ended_at IS NULL AND touched_at <= $1 ORDER BY touched_at LIMIT $2";
/// By `jobs_expiring`.
pub(super) const EXPIRED: &str = "SELECT id, tenant FROM jobs WHERE expires_at IS NOT NULL AND expires_at <= $1 AND \
                                  ended_at IS NOT NULL ORDER BY expires_at LIMIT $2";

impl JobStore {
    /// A tenant's job. Another's is not found.
    ///
    /// # Errors
    /// When the database fails, as everywhere here.
    pub async fn job(&self, tenant: &str, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.any_job(id).await?.filter(|job| job.tenant == tenant))
    }

    async fn any_job(&self, id: &JobId) -> Result<Option<JobRecord>, StoreError> {
        let row = statement(JOB).bind(id.as_str()).fetch_optional(self.database.reader_of_new()).await?;
        row.as_ref().map(row::job).transpose()
    }

    /// The tasks of a job, in the order of its graph.
    ///
    /// # Errors
    /// As said.
    pub async fn tasks(&self, id: &JobId) -> Result<Vec<TaskRecord>, StoreError> {
        let select = statement(TASKS_OF_JOB).bind(id.as_str());
        select.fetch_all(self.database.reader_of_new()).await?.iter().map(row::task).collect()
    }

    /// A job and its tasks at one moment: what is decided on it is applied at its version alone.
    ///
    /// # Errors
    /// As said.
    pub async fn load(&self, id: &JobId) -> Result<Option<(JobRecord, Vec<TaskRecord>)>, StoreError> {
        self.loaded(statement(LOAD).bind(id.as_str())).await
    }

    /// The job of a task, likewise.
    pub(super) async fn load_of(&self, task: &TaskId) -> Result<Option<(JobRecord, Vec<TaskRecord>)>, StoreError> {
        self.loaded(statement(LOAD_OF_TASK).bind(task.as_str())).await
    }

    async fn loaded(&self, select: Query) -> Result<Option<(JobRecord, Vec<TaskRecord>)>, StoreError> {
        let rows = select.fetch_all(self.database.reader_of_new()).await?;
        let rows = split(rows, JOB_COLUMNS);
        let Some((first, _)) = rows.first() else { return Ok(None) };
        let job = row::job(first)?;
        let mut tasks = Vec::with_capacity(rows.len());
        for (_, task) in &rows {
            if Row(task).get::<Option<&str>>("id")?.is_some() {
                tasks.push(row::task(task)?);
            }
        }
        Ok(Some((job, tasks)))
    }

    /// A tenant's jobs, newest first. While jobs are added, following the cursor neither repeats nor skips one that was
    /// there at the beginning.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`] for a cursor that no page gave.
    pub async fn list(&self, tenant: &str, asked: ListQuery) -> Result<JobPage, StoreError> {
        let before = asked.cursor.as_deref().map_or(Ok(Cursor::START), str::parse)?;
        let limit = asked.limit.clamp(1, MAX_PAGE);
        let of_all = if asked.status.is_some() { LIST_OF_STATUS } else { LIST };
        // One more than asked for tells whether there is a next page.
        let mut select =
            statement(of_all).bind(tenant).bind(before.created_at).bind(before.id).bind(i64::from(limit) + 1);
        if let Some(status) = asked.status {
            select = select.bind(status.as_str());
        }
        let mut jobs = self.all(select, row::job).await?;
        // What comes behind the first that is too old is older still.
        let is_older = |job: &JobRecord| asked.since.is_some_and(|since| to_millis(job.created_at) < to_millis(since));
        jobs.truncate(jobs.iter().position(is_older).unwrap_or(jobs.len()));
        let has_more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next_cursor = jobs.last().filter(|_| has_more).map(|last| Cursor::after(last).to_string());
        Ok(JobPage { jobs, next_cursor })
    }

    /// A tenant's tasks that failed for good, those of the newest jobs first; `limit` and `cursor` count jobs that failed, as in
    /// [`list`](Self::list). [`replay`](Self::replay) gives them another chance.
    ///
    /// # Errors
    /// As there.
    pub async fn dead(&self, tenant: &str, limit: u32, cursor: Option<String>) -> Result<DeadPage, StoreError> {
        let query = ListQuery { status: Some(JobStatus::Failed), since: None, limit, cursor };
        let JobPage { jobs, next_cursor } = self.list(tenant, query).await?;
        let mut tasks = Vec::new();
        for job in jobs {
            let of_job = self.tasks(&job.id).await?;
            let failed = of_job.into_iter().filter(|task| task.status == TaskStatus::Failed);
            tasks.extend(failed.map(|task| DeadTask { job_name: job.name.clone(), task }));
        }
        Ok(DeadPage { tasks, next_cursor })
    }

    /// Jobs that are not terminal and that nothing has touched since then, longest untouched first. Progress of a task
    /// touches its job.
    ///
    /// # Errors
    /// As said.
    pub async fn open_jobs(&self, idle_since: SystemTime, limit: u32) -> Result<Vec<JobId>, StoreError> {
        let select = statement(OPEN).bind(to_millis(idle_since)).bind(bounded(limit));
        self.all(select, |row| Row(row).word("id")).await
    }

    /// Terminal jobs of all tenants whose time has come, longest due first.
    ///
    /// # Errors
    /// As said.
    pub async fn expired(&self, now: SystemTime, limit: u32) -> Result<Vec<(String, JobId)>, StoreError> {
        let select = statement(EXPIRED).bind(to_millis(now)).bind(bounded(limit));
        self.all(select, |row| Ok((Row(row).get("tenant")?, Row(row).word("id")?))).await
    }

    async fn all<T>(
        &self,
        select: Query,
        read: impl Fn(&SqlRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        select.fetch_all(self.database.reader()).await?.iter().map(read).collect()
    }
}

/// What a query may be asked for at most.
fn bounded(limit: u32) -> i64 {
    limit.min(MAX_PAGE).into()
}
