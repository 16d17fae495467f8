//! Looks at jobs whose artifacts are not what they were.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{sync::Arc, time::Duration};

use dalston_broker::InProcessBroker;
use dalston_engine_sdk::batch::{EngineInfo, Prepared, Stage};
use dalston_orchestrator::{Orchestrator, Settings};
use dalston_protocol::{
    JobId, RequestId, TaskId,
    job::{JobParameters, JobStatus},
};
use dalston_store::{
    Artifacts, Created, JobRecord, JobStore, NewJob, Source, Started, TaskFailure, TaskOutputFile, TaskRecord,
};
use dalston_telemetry::{Metrics, Tracers};
use tempfile::TempDir;

const TENANT: &str = "key_1";

struct World {
    store: JobStore,
    artifacts: Artifacts,
    orchestrator: Orchestrator,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = JobStore::open(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await.unwrap();
        let artifacts = Artifacts::local(&folder.path().join("artifacts")).unwrap();
        let engines = vec![EngineInfo::new("prepare", Stage::PREPARE), EngineInfo::new("ear", Stage::TRANSCRIBE)];
        let orchestrator = Orchestrator::new(
            store.clone(),
            artifacts.clone(),
            Arc::new(InProcessBroker::default()),
            engines,
            Tracers::off(),
            Arc::new(Metrics::new()),
            Settings::default(),
        );
        Self { store, artifacts, orchestrator, _folder: folder }
    }

    /// A job whose audio is prepared, and whose transcription has begun. And where the first result lies.
    async fn transcribing(&self) -> (JobId, TaskRecord, String) {
        let id = JobId::generate();
        let job = NewJob {
            id: id.clone(),
            tenant: TENANT.into(),
            name: None,
            parameters: JobParameters::default(),
            request_id: RequestId::generate(),
            traceparent: None,
            source: Source { key: format!("jobs/{id}/source"), file_name: None, bytes: 1, sha256: "ab".repeat(32) },
            idempotency: None,
        };
        assert!(matches!(self.store.create(job).await.unwrap(), Created::New(_)));
        self.orchestrator.look(&id).await.unwrap();
        let prepare = self.begin(&id, "prepare").await;
        let prepared = Prepared {
            duration: 1.0,
            channels: 1,
            sample_rate: 16_000,
            codec: "flac".into(),
            loudness_db: None,
            warnings: Vec::new(),
        };
        let file = TaskOutputFile { result: serde_json::to_value(prepared).unwrap(), files: Default::default() };
        let key = format!("jobs/{id}/prepare/1/output.json");
        self.artifacts.put(&key, serde_json::to_vec(&file).unwrap()).await.unwrap();
        assert!(self.store.commit(&prepare.id, prepare.attempt, &key).await.unwrap());
        self.orchestrator.look(&id).await.unwrap();
        let transcribe = self.begin(&id, "transcribe").await;
        (id, transcribe, key)
    }

    async fn begin(&self, job: &JobId, node: &str) -> TaskRecord {
        let (_, tasks) = self.store.load(job).await.unwrap().unwrap();
        let task: TaskId = tasks.into_iter().find(|task| task.node == node).expect(node).id;
        match self.store.start(&task, "runner", false).await.unwrap() {
            Started::Run(work) => work.task,
            other => panic!("{other:?}"),
        }
    }

    async fn job(&self, id: &JobId) -> JobRecord {
        self.store.load(id).await.unwrap().unwrap().0
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_ends_without_the_results_that_were_lost() {
    let world = World::new().await;
    let (id, transcribe, key) = world.transcribing().await;
    assert_eq!(world.store.cancel(TENANT, &id).await.unwrap(), Some(JobStatus::Cancelling));
    assert_eq!(world.artifacts.remove(&key).await.unwrap(), 1);
    world.orchestrator.look(&id).await.unwrap();
    assert_eq!(world.job(&id).await.status, JobStatus::Cancelling, "its engine has not stopped");
    let stopped = TaskFailure { code: "cancelled".into(), message: "it was".into(), retryable: false };
    assert!(world.store.fail(&transcribe.id, transcribe.attempt, &stopped).await.unwrap());
    world.orchestrator.look(&id).await.unwrap();
    assert_eq!(world.job(&id).await.status, JobStatus::Cancelled);
}

#[tokio::test]
async fn a_job_whose_results_are_lost_fails_and_is_not_looked_at_for_ever() {
    for damaged in [None, Some("{\"result\": 7, \"files\": {}}")] {
        let world = World::new().await;
        let (id, transcribe, key) = world.transcribing().await;
        match damaged {
            None => drop(world.artifacts.remove(&key).await.unwrap()),
            Some(text) => drop(world.artifacts.put(&key, text).await.unwrap()),
        }
        assert!(world.store.commit(&transcribe.id, transcribe.attempt, &key).await.unwrap());
        tokio::time::timeout(Duration::from_secs(20), world.orchestrator.look(&id)).await.unwrap().unwrap();
        let job = world.job(&id).await;
        assert_eq!((job.status, job.error.unwrap().code.as_str()), (JobStatus::Failed, "internal"));
    }
}
