//! A store, a broker and what stands for the orchestrator, around the runner under test.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod faulty;

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dalston_broker::{Broker, InProcessBroker};
use dalston_engine_runner::{Runner, RunnerError, RunnerSettings};
use dalston_engine_sdk::batch::{Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput};
use dalston_protocol::{
    JobId, RequestId, TaskId,
    job::{JobParameters, TaskStatus},
};
use dalston_store::{
    Artifacts, Change, Created, JobStore, NewJob, NewTask, Outgoing, Source, TaskOutputFile, TaskRecord, engine_queue,
};
use dalston_telemetry::{Metrics, Options, RingLimits, SpanCounters, TraceRing, Tracers};
use tempfile::TempDir;
use tokio::{
    task::{JoinError, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take that must happen at all.
pub const SOON: Duration = Duration::from_secs(60);
/// What every job was uploaded with.
pub const UPLOAD: &[u8] = b"what was said";
pub const TENANT: &str = "anonymous";

pub struct World {
    pub store: JobStore,
    pub artifacts: Artifacts,
    pub broker: Arc<dyn Broker>,
    pub tracers: Tracers,
    pub ring: TraceRing,
    pub metrics: Arc<Metrics>,
    pub settings: RunnerSettings,
    pub folder: TempDir,
    relay: JoinHandle<()>,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let path = |name: &str| folder.path().join(name);
        let store = JobStore::open(&format!("sqlite:{}", path("jobs.db").display())).await.expect("it can be made");
        let artifacts = Artifacts::local(&path("artifacts")).expect("it can be made");
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::default());
        let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
        let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).expect("a ring needs nothing");
        let ring = tracers.ring().expect("it was asked for").clone();
        let relay = tokio::spawn(relay(store.clone(), broker.clone()));
        let settings = RunnerSettings::new(path("scratch"));
        let metrics = Arc::new(Metrics::new());
        Self { store, artifacts, broker, tracers, ring, metrics, settings, folder, relay }
    }

    /// A job with these tasks, of which the first is ready.
    pub async fn job(&self, tasks: Vec<NewTask>) -> JobId {
        self.traced_job(tasks, None).await
    }

    pub async fn traced_job(&self, tasks: Vec<NewTask>, traceparent: Option<String>) -> JobId {
        let id = JobId::generate();
        let key = format!("jobs/{id}/source");
        let stored = self.artifacts.put(&key, UPLOAD).await.expect("there is room");
        let source = Source { key, file_name: None, bytes: stored.bytes, sha256: stored.sha256 };
        let job = NewJob {
            id: id.clone(),
            tenant: TENANT.into(),
            name: None,
            parameters: JobParameters::default(),
            request_id: RequestId::from_caller("req_7").expect("it is one"),
            traceparent: None,
            source,
            idempotency: None,
        };
        assert!(matches!(self.store.create(job).await.expect("the store answers"), Created::New(_)));
        let first = Change::Ready { task: tasks[0].id.clone(), deadline: tasks[0].deadline, traceparent };
        let mut changes: Vec<_> = tasks.into_iter().map(Change::Insert).collect();
        changes.push(first);
        self.apply(&id, &changes).await;
        id
    }

    /// A job of one task of `engine`.
    pub async fn task(&self, engine: &str) -> (JobId, TaskId) {
        let task = task(engine, "prepare", &[]);
        let id = task.id.clone();
        (self.job(vec![task]).await, id)
    }

    pub async fn apply(&self, job: &JobId, changes: &[Change]) {
        loop {
            let (record, tasks) = self.store.load(job).await.expect("the store answers").expect("the job is there");
            if self.store.apply(&record, &tasks, changes).await.expect("the store answers") {
                return;
            }
        }
    }

    pub async fn get(&self, job: &JobId, task: &TaskId) -> TaskRecord {
        let tasks = self.store.tasks(job).await.expect("the store answers");
        tasks.into_iter().find(|record| record.id == *task).expect("the task is there")
    }

    /// The task, once it is so.
    pub async fn until(&self, job: &JobId, task: &TaskId, is_so: impl Fn(&TaskRecord) -> bool) -> TaskRecord {
        let mut woken = self.broker.subscribe(&format!("job.{job}")).await.expect("the broker answers");
        let wait = async {
            loop {
                let record = self.get(job, task).await;
                if is_so(&record) {
                    return record;
                }
                woken.next().await.expect("the broker is there");
            }
        };
        timeout(SOON, wait).await.expect("it becomes so in time")
    }

    pub async fn ended(&self, job: &JobId, task: &TaskId) -> TaskRecord {
        self.until(job, task, |record| record.status.is_terminal()).await
    }

    pub async fn completed(&self, job: &JobId, task: &TaskId) -> TaskRecord {
        let record = self.ended(job, task).await;
        assert_eq!(record.status, TaskStatus::Completed, "{:?}", record.error);
        record
    }

    pub async fn output(&self, record: &TaskRecord) -> TaskOutputFile {
        let key = record.output.as_deref().expect("it is completed");
        serde_json::from_slice(&self.artifacts.get(key, 1 << 20).await.expect("it was written")).expect("it is JSON")
    }

    pub fn runner(&self, engine: impl Engine) -> Runner {
        self.runner_on(self.broker.clone(), Arc::new(engine))
    }

    /// A runner with a name of its own that sees another broker.
    pub fn runner_on(&self, broker: Arc<dyn Broker>, engine: Arc<dyn Engine>) -> Runner {
        let name = RunnerSettings::new("").name;
        let settings = RunnerSettings { name, ..self.settings.clone() };
        let (store, artifacts) = (self.store.clone(), self.artifacts.clone());
        Runner::new(engine, store, artifacts, broker, self.tracers.clone(), self.metrics.clone(), settings)
    }

    pub fn run(&self, engine: impl Engine) -> Running {
        Running::new(self.runner(engine))
    }

    /// Waits until a queue stands so.
    pub async fn until_queue(&self, engine: &str, ready: usize, claimed: usize) {
        let stands = async {
            loop {
                let queues = self.broker.queues().await.expect("the broker answers");
                let queue = queues.iter().find(|stats| stats.queue == engine_queue(engine));
                if queue.is_some_and(|stats| (stats.ready, stats.claimed) == (ready, claimed)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, stands).await.expect("the queue comes to stand so");
    }

    /// Reads the names of all artifacts of a job.
    pub async fn artifacts_of(&self, job: &JobId) -> Vec<String> {
        let listed = self.artifacts.list(&format!("jobs/{job}")).await.expect("the artifacts are there");
        let prefix = format!("jobs/{job}/");
        listed.into_iter().map(|(key, _)| key.trim_start_matches(&prefix).to_owned()).collect()
    }

    /// What the metric of ended attempts says.
    pub fn attempts(&self, outcome: &str) -> u64 {
        let text = self.metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with("dalston_tasks_ended_total"));
        let lines = lines.filter(|line| line.contains(&format!("outcome=\"{outcome}\"")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

/// A runner at work.
pub struct Running {
    shutdown: CancellationToken,
    ends: JoinHandle<Result<(), RunnerError>>,
}

impl Running {
    pub fn new(runner: Runner) -> Self {
        let shutdown = CancellationToken::new();
        let ends = tokio::spawn(runner.run(shutdown.clone()));
        Self { shutdown, ends }
    }

    pub fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Shuts it down and waits for its end.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.end().await;
    }

    pub async fn end(self) {
        timeout(SOON, self.ends).await.expect("it ends in time").expect("it does not panic").expect("it could run");
    }

    /// Ends it as a crash would, wherever it is.
    pub async fn crash(self) {
        self.ends.abort();
        let ended = timeout(SOON, self.ends).await.expect("it ends in time");
        assert!(ended.is_err_and(|error: JoinError| error.is_cancelled()), "it was at work");
    }
}

/// Publishes what the store wants to be published, and forgets looks at jobs: the test decides on them.
async fn relay(store: JobStore, broker: Arc<dyn Broker>) {
    let mut changed = store.changed();
    loop {
        changed.mark_unchanged();
        let Ok(rows) = store.outbox(100).await else { return };
        for row in &rows {
            if let Outgoing::Task { task, queue, .. } = &row.message {
                broker.publish(queue, task.to_string()).await.expect("there is room");
            }
        }
        let sent: Vec<_> = rows.iter().map(|row| row.seq).collect();
        if store.outbox_sent(&sent).await.is_err() {
            return;
        }
        // Retries become due without a change.
        let _ = timeout(Duration::from_millis(100), changed.changed()).await;
    }
}

pub fn ready(task: &TaskId) -> Change {
    Change::Ready { task: task.clone(), deadline: SOON, traceparent: None }
}

pub fn task(engine: &str, node: &str, depends_on: &[&str]) -> NewTask {
    NewTask {
        id: TaskId::generate(),
        node: node.into(),
        stage: node.into(),
        engine_id: engine.into(),
        channel: None,
        depends_on: depends_on.iter().map(|node| (*node).to_owned()).collect(),
        deadline: SOON,
        max_attempts: 3,
    }
}

/// An engine made of a function. Counts how often it was begun.
pub struct Does<F> {
    info: EngineInfo,
    process: F,
    pub begun: Arc<AtomicUsize>,
}

impl<F> Does<F>
where
    F: Fn(&TaskInput, &dyn TaskContext) -> Result<TaskOutput, TaskError> + Send + Sync + 'static,
{
    pub fn new(id: &str, process: F) -> Self {
        let info = EngineInfo { concurrency: 2, ..EngineInfo::new(id, Stage::PREPARE) };
        Self { info, process, begun: Arc::default() }
    }

    /// With one task at a time.
    pub fn alone(mut self) -> Self {
        self.info.concurrency = 1;
        self
    }
}

impl<F> Engine for Does<F>
where
    F: Fn(&TaskInput, &dyn TaskContext) -> Result<TaskOutput, TaskError> + Send + Sync + 'static,
{
    fn info(&self) -> EngineInfo {
        self.info.clone()
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        (self.process)(input, ctx)
    }
}

/// A gate that an engine waits at, until it is opened for good.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("nobody panics") = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let shut = |open: &mut bool| !*open;
        let open = self.0.1.wait_timeout_while(self.0.0.lock().expect("nobody panics"), SOON, shut);
        assert!(!open.expect("nobody panics").1.timed_out(), "the gate was not opened");
    }
}

/// What an engine does that is done.
pub fn done() -> Result<TaskOutput, TaskError> {
    TaskOutput::of(&serde_json::json!({ "done": true }))
}
