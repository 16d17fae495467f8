//! What an orchestrator does now and then, and what must not stop it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dalston_broker::{Broker, InProcessBroker};
use dalston_engine_sdk::batch::{EngineInfo, Stage};
use dalston_orchestrator::{Orchestrator, Settings};
use dalston_protocol::{
    JobId, RequestId,
    job::{JobError, JobParameters, JobStatus},
};
use dalston_store::{Artifacts, Change, Created, JobStore, NewJob, Source, engine_queue, job_folder};
use dalston_telemetry::{Metrics, Tracers};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const TENANT: &str = "key_1";
/// How long anything may take that must happen at all.
const SOON: Duration = Duration::from_secs(30);

struct World {
    store: JobStore,
    artifacts: Artifacts,
    broker: Arc<InProcessBroker>,
    folder: TempDir,
}

impl World {
    async fn new(room: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = JobStore::open(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await.unwrap();
        let artifacts = Artifacts::local(&folder.path().join("artifacts")).unwrap();
        Self { store, artifacts, broker: Arc::new(InProcessBroker::new(room)), folder }
    }

    /// Runs an orchestrator that does everything all the time, until it is so.
    async fn until<F: Future<Output = bool>>(&self, settings: Settings, is_so: impl Fn() -> F) {
        let (store, artifacts, broker) = (self.store.clone(), self.artifacts.clone(), self.broker.clone());
        let engines = vec![EngineInfo::new("prepare", Stage::PREPARE), EngineInfo::new("ear", Stage::TRANSCRIBE)];
        let metrics = Arc::new(Metrics::new());
        let orchestrator = Orchestrator::new(store, artifacts, broker, engines, Tracers::off(), metrics, settings);
        let stop = CancellationToken::new();
        let runs = tokio::spawn(orchestrator.run(stop.clone()));
        let wait = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.expect("it becomes so in time");
        stop.cancel();
        runs.await.unwrap();
    }

    async fn job(&self) -> JobId {
        let id = JobId::generate();
        let key = format!("{}/source", job_folder(&id));
        self.artifacts.put(&key, "what was said").await.unwrap();
        let job = NewJob {
            id: id.clone(),
            tenant: TENANT.into(),
            name: None,
            parameters: JobParameters::default(),
            request_id: RequestId::generate(),
            traceparent: None,
            source: Source { key, file_name: None, bytes: 1, sha256: "ab".repeat(32) },
            idempotency: None,
        };
        assert!(matches!(self.store.create(job).await.unwrap(), Created::New(_)));
        id
    }

    async fn expired_job(&self) -> JobId {
        let id = self.job().await;
        let error = JobError { code: "internal".into(), message: "no".into(), stage: None };
        let ended = Change::Job { status: JobStatus::Failed, error: Some(error) };
        let (job, tasks) = self.store.load(&id).await.unwrap().unwrap();
        let expires = Change::Expires(Some(SystemTime::now() - Duration::from_secs(1)));
        assert!(self.store.apply(&job, &tasks, &[ended, expires]).await.unwrap());
        id
    }

    async fn is_gone(&self, id: &JobId) -> bool {
        self.store.load(id).await.unwrap().is_none()
    }

    async fn has_files(&self, id: &JobId) -> bool {
        self.folder.path().join("artifacts").join(job_folder(id)).exists()
    }

    async fn ready(&self, queue: &str) -> usize {
        let queues = self.broker.queues().await.unwrap();
        queues.iter().find(|stats| stats.queue == queue).map_or(0, |stats| stats.ready)
    }
}

/// Everything at once, again and again.
fn restless() -> Settings {
    let often = Duration::from_millis(10);
    Settings { idle: Duration::from_millis(1), reconcile: often, sweep: often, tidy: often, ..Settings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_removed_keeps_no_other() {
    let world = World::new(1000).await;
    let stuck = world.expired_job().await;
    // Not even root can remove what lies deeper than a path can say. It is put there in two steps.
    let [outer, inner] =
        [world.folder.path().join("artifacts").join(job_folder(&stuck)), world.folder.path().join("x")];
    let deep = |folder: &Path| folder.join(vec!["x".repeat(200); 14].join("/"));
    std::fs::create_dir_all(deep(&outer)).unwrap();
    std::fs::create_dir_all(deep(&inner)).unwrap();
    std::fs::rename(&inner, deep(&outer).join("x")).unwrap();
    let others = [world.expired_job().await, world.expired_job().await];
    let all_gone = || async { world.is_gone(&others[0]).await && world.is_gone(&others[1]).await };
    world.until(restless(), all_gone).await;
    let (kept, _) = world.store.load(&stuck).await.unwrap().expect("it is tried again");
    assert!(kept.expires_at.unwrap() > SystemTime::now(), "later");
    assert!(!world.has_files(&others[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_published_once_however_long_it_waits() {
    let world = World::new(1000).await;
    let jobs = [world.job().await, world.job().await, world.job().await];
    let queue = engine_queue("prepare");
    world.until(Settings::default(), || async { world.ready(&queue).await == jobs.len() }).await;
    let first = world.store.load(&jobs[0]).await.unwrap().unwrap().0.version;
    // Each pass of the reconciler counts the version up.
    let many = || async { world.store.load(&jobs[0]).await.unwrap().unwrap().0.version > first + 20 };
    world.until(restless(), many).await;
    assert_eq!(world.ready(&queue).await, jobs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_forgot_is_published_again() {
    let mut world = World::new(1000).await;
    world.job().await;
    let queue = engine_queue("prepare");
    world.until(Settings::default(), || async { world.ready(&queue).await == 1 }).await;
    world.broker = Arc::new(InProcessBroker::default());
    world.until(restless(), || async { world.ready(&queue).await > 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_stops_no_relay() {
    let world = World::new(3).await;
    for filler in ["a", "b"] {
        world.broker.publish("engine.gone", filler.into()).await.unwrap();
    }
    let jobs = [world.job().await, world.job().await];
    let queues = [engine_queue("prepare")];
    let lease = Duration::from_secs(60);
    // One place is left, which whoever has it frees again: both jobs come to be planned and given out.
    let claims = async {
        for _ in &jobs {
            let claimed = world.broker.claim(&queues, "test", lease, SOON).await.unwrap().expect("its turn comes");
            assert!(world.broker.acknowledge(&claimed.claim).await.unwrap());
        }
    };
    let done = CancellationToken::new();
    let watch = world.until(Settings::default(), || async { done.is_cancelled() });
    tokio::join!(watch, async {
        claims.await;
        done.cancel();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_removes_old_artifacts_without_a_job_and_no_others() {
    let world = World::new(1000).await;
    let (job, young) = (world.job().await, JobId::generate());
    // As ids were two days ago.
    let millis = (SystemTime::now() - Duration::from_secs(48 * 3600)).duration_since(SystemTime::UNIX_EPOCH);
    let old: JobId = format!("job_{:012x}{}", millis.unwrap().as_millis(), &young.as_str()[16..]).parse().unwrap();
    for orphan in [&young, &old] {
        world.artifacts.put(&format!("{}/source", job_folder(orphan)), "x").await.unwrap();
    }
    world.until(restless(), || async { !world.has_files(&old).await }).await;
    assert!(world.has_files(&young).await && world.has_files(&job).await);
}
