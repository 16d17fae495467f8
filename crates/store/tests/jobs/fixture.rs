//! A store with nothing in it, and what one does with it in tests.

use std::{sync::Arc, time::Duration};

use dalston_protocol::{JobId, RequestId, TaskId, job::JobStatus};
use dalston_store::testing::Postgres;
use dalston_store::{
    Change, Created, Idempotency, JobRecord, JobStore, NewJob, NewTask, OutboxRow, Outgoing, Source, Started,
    StoreError, TaskFailure, TaskRecord, Work,
};
use sqlx::{AnyConnection, Connection};
use tempfile::TempDir;

pub const TENANT: &str = "key_1";
pub const RUNNER: &str = "runner-1";
pub const REDELIVERED: bool = true;
pub const DEADLINE: Duration = Duration::from_millis(90_500);

pub struct Fixture {
    pub store: JobStore,
    pub url: String,
    _home: Home,
}

enum Home {
    Folder { _folder: TempDir },
    Server { _server: Arc<Postgres> },
}

/// A database that nothing was ever done to.
pub struct Fresh {
    pub url: String,
    home: Home,
}

impl Fresh {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Made on the way; and what means something in a URL means nothing here.
        let url = format!("sqlite:{}/data?a#b %20/jobs.db", folder.path().display());
        Self { url, home: Home::Folder { _folder: folder } }
    }

    pub async fn postgres() -> Self {
        let server = tokio::task::spawn_blocking(Postgres::shared).await.unwrap();
        Self { url: server.new_database().await, home: Home::Server { _server: server } }
    }

    pub async fn open(self) -> Fixture {
        Fixture { store: JobStore::open(&self.url).await.unwrap(), url: self.url, _home: self.home }
    }
}

impl Fixture {
    pub async fn sqlite() -> Self {
        Fresh::sqlite().await.open().await
    }

    pub async fn postgres() -> Self {
        Fresh::postgres().await.open().await
    }

    /// The same database, opened once more.
    pub async fn other_process(&self) -> JobStore {
        JobStore::open(&self.url).await.unwrap()
    }

    pub async fn reopened(self) -> Self {
        self.store.close().await;
        Self { store: self.other_process().await, ..self }
    }

    /// A new job.
    pub async fn job(&self) -> JobRecord {
        self.create(new_job()).await
    }

    pub async fn create(&self, job: NewJob) -> JobRecord {
        match self.store.create(job).await.unwrap() {
            Created::New(job) => job,
            other => panic!("{other:?}"),
        }
    }

    /// A job of which these nodes are ready, each without dependencies.
    pub async fn job_with(&self, nodes: &[&str]) -> (JobId, Vec<TaskId>) {
        let job = self.job().await.id;
        let tasks: Vec<_> = nodes.iter().map(|node| new_task(node, &[])).collect();
        let ids = tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>();
        let ready = ids.iter().map(ready);
        self.apply(&job, &tasks.into_iter().map(Change::Insert).chain(ready).collect::<Vec<_>>()).await;
        (job, ids)
    }

    /// A job with one task that is ready.
    pub async fn job_with_task(&self) -> (JobId, TaskId) {
        let (job, mut tasks) = self.job_with(&["prepare"]).await;
        (job, tasks.remove(0))
    }

    /// Applies changes to the job as it is now.
    pub async fn apply(&self, job: &JobId, changes: &[Change]) {
        assert!(self.try_apply(job, changes).await.unwrap(), "nobody else changes this job");
    }

    pub async fn try_apply(&self, job: &JobId, changes: &[Change]) -> Result<bool, StoreError> {
        let (job, tasks) = self.store.load(job).await.unwrap().expect("the job is there");
        self.store.apply(&job, &tasks, changes).await
    }

    pub async fn set(&self, job: &JobId, status: JobStatus) {
        self.apply(job, &[Change::Job { status, error: None }]).await;
    }

    /// A job that failed because its only task did.
    pub async fn failed_job(&self) -> (JobId, TaskId) {
        let (job, task) = self.job_with_task().await;
        let work = self.start(&task).await;
        assert!(self.store.fail(&task, work.task.attempt, &for_good()).await.unwrap());
        self.set(&job, JobStatus::Failed).await;
        (job, task)
    }

    pub async fn start(&self, task: &TaskId) -> Work {
        self.begin(task, false).await
    }

    /// As whoever gets the message of another who is gone.
    pub async fn restart(&self, task: &TaskId) -> Work {
        self.begin(task, REDELIVERED).await
    }

    async fn begin(&self, task: &TaskId, redelivered: bool) -> Work {
        match self.store.start(task, RUNNER, redelivered).await.unwrap() {
            Started::Run(work) => work,
            other => panic!("{other:?}"),
        }
    }

    pub async fn record(&self, job: &JobId) -> JobRecord {
        self.store.load(job).await.unwrap().expect("the job is there").0
    }

    pub async fn status(&self, job: &JobId) -> JobStatus {
        self.record(job).await.status
    }

    pub async fn task(&self, job: &JobId, task: &TaskId) -> TaskRecord {
        self.store.tasks(job).await.unwrap().into_iter().find(|found| found.id == *task).expect("the task is there")
    }

    /// What is to be published, which is then taken for published.
    pub async fn published(&self) -> Vec<Outgoing> {
        let rows: Vec<OutboxRow> = self.store.outbox(1_000).await.unwrap();
        self.store.outbox_sent(&rows.iter().map(|row| row.seq).collect::<Vec<_>>()).await.unwrap();
        rows.into_iter().map(|row| row.message).collect()
    }

    /// As if all delays were over.
    pub async fn pass_time(&self) {
        self.execute("UPDATE outbox SET due_at = 0").await;
    }

    /// Whatever a disk or somebody at the database's prompt may do.
    pub async fn execute(&self, sql: &'static str) {
        let url = self.url.strip_prefix("sqlite:").map_or(self.url.clone(), |path| {
            let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23").replace(' ', "%20");
            format!("sqlite://{escaped}")
        });
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub fn new_job() -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant: TENANT.into(),
        name: Some("Monday's call".into()),
        parameters: Default::default(),
        request_id: RequestId::generate(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        source: Source {
            key: "jobs/job_1/source".into(),
            file_name: Some("Gespräch \"1\".wav".into()),
            bytes: 1 << 40,
            sha256: "ab".repeat(32),
        },
        idempotency: None,
    }
}

pub fn with_key(key: &str, fingerprint: &str) -> NewJob {
    let idempotency = Some(Idempotency { key: key.into(), fingerprint: fingerprint.into() });
    NewJob { idempotency, ..new_job() }
}

pub fn new_task(node: &str, depends_on: &[&str]) -> NewTask {
    NewTask {
        id: TaskId::generate(),
        node: node.into(),
        stage: node.split('.').next().unwrap().into(),
        engine_id: format!("{node}-engine"),
        channel: None,
        depends_on: depends_on.iter().map(|node| (*node).to_owned()).collect(),
        deadline: DEADLINE,
        max_attempts: 3,
    }
}

pub fn ready(task: &TaskId) -> Change {
    Change::Ready { task: task.clone(), deadline: DEADLINE, traceparent: None }
}

/// A failure that may pass.
pub fn passing() -> TaskFailure {
    TaskFailure { code: "engine_failed".into(), message: "no memory".into(), retryable: true }
}

/// One that will not.
pub fn for_good() -> TaskFailure {
    TaskFailure { code: "unsupported_audio".into(), message: "no sound in it".into(), retryable: false }
}
