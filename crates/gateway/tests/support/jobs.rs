//! A gateway with a real job store, artifact store and broker, and a worker whose every step the test takes itself.

use std::{path::Path, sync::Arc, time::Duration};

use dalston_broker::{Broker, InProcessBroker};
use dalston_engine_sdk::{
    Capabilities, Languages,
    batch::{EngineInfo, Stage},
};
use dalston_gateway::{GatewayConfig, JobSettings, Jobs};
use dalston_protocol::{
    JobId, Segment, TaskId, Word,
    job::{JobError, JobStatus, Transcript},
};
use dalston_store::{Artifacts, Change, JobRecord, JobStore, NewTask, Started, TaskFailure, TaskRecord};
use dalston_telemetry::Tracers;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use super::{Server, config, keys::Keys, wire::Answer};

pub const JOBS: &str = "/v1/audio/transcriptions";

pub struct BatchServer {
    pub server: Server,
    pub worker: TestWorker,
    pub folder: TempDir,
}

/// Does to jobs what an orchestrator and its engines do, through the same store.
#[derive(Clone)]
pub struct TestWorker {
    pub store: JobStore,
    pub artifacts: Artifacts,
    pub broker: Arc<dyn Broker>,
}

impl BatchServer {
    pub async fn start() -> Self {
        Self::with(config(""), JobSettings::default(), Tracers::off()).await
    }

    pub async fn with(config: GatewayConfig, settings: JobSettings, tracers: Tracers) -> Self {
        Self::launch(config, settings, tracers, None).await
    }

    /// One that looks for keys there.
    pub async fn with_keys(config: GatewayConfig, keys: &Keys) -> Self {
        Self::launch(config, JobSettings::default(), Tracers::off(), Some(keys)).await
    }

    async fn launch(config: GatewayConfig, settings: JobSettings, tracers: Tracers, keys: Option<&Keys>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let worker = TestWorker::open(folder.path()).await;
        let engines = engines();
        let TestWorker { store, artifacts, broker } = worker.clone();
        let jobs = Jobs { store, artifacts, broker, engines: engines.into(), settings };
        let server = Server::launch(config, tracers, super::CAPACITY, Some(jobs), keys).await;
        Self { server, worker, folder }
    }

    /// One request on a connection of its own.
    pub async fn http(&self, request: &str) -> Answer {
        self.server.http(request).await
    }

    /// `PATCH` and the like.
    pub async fn send(&self, request: &str, kind: &str, body: &[u8]) -> Answer {
        let mut stream = self.request(request, kind, body.len(), "").await;
        stream.write_all(body).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// The head of a request, sent.
    pub async fn request(&self, request: &str, kind: &str, length: usize, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.address).await.unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n{headers}\r\n",
            self.server.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// Posts a form.
    pub async fn post(&self, form: &Form) -> Answer {
        self.post_to(JOBS, form, "").await
    }

    pub async fn post_to(&self, path: &str, form: &Form, headers: &str) -> Answer {
        let body = form.body();
        let mut stream = self.request(&format!("POST {path}"), &form.content_type(), body.len(), headers).await;
        // A server that has refused already may not take the rest.
        let _ = stream.write_all(&body).await;
        Answer::read(&mut stream).await
    }

    /// Posts a form that is taken, and gives the new job's id.
    pub async fn accepted(&self, form: &Form) -> JobId {
        let answer = self.post(form).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until no upload is kept, whole or in part.
    pub async fn nothing_stays(&self) {
        let emptied = async {
            while !self.stored_files().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(super::LONG, emptied).await.unwrap_or_else(|_| panic!("{:?} stay", self.stored_files()));
    }

    /// Files under the artifacts' folder.
    pub fn stored_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().join("artifacts")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path.display().to_string()) }
            }
        }
        files
    }
}

/// What the gateway is told of the pipeline.
pub fn engines() -> Vec<EngineInfo> {
    let capabilities = Capabilities {
        engine_id: "scripted".into(),
        model: "en".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["en".into()]),
        partials: false,
        word_timestamps: true,
        confidence: true,
        vocabulary: true,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    };
    let transcribe = EngineInfo::new("scripted", Stage::TRANSCRIBE);
    vec![
        EngineInfo::new("prepare", Stage::PREPARE),
        EngineInfo { capabilities: Some(capabilities), ..transcribe },
        EngineInfo::new("diarize", Stage::DIARIZE),
    ]
}

impl TestWorker {
    pub async fn open(folder: &Path) -> Self {
        let url = format!("sqlite:{}", folder.join("jobs.db").display());
        Self {
            store: JobStore::open(&url).await.unwrap(),
            artifacts: Artifacts::local(&folder.join("artifacts")).unwrap(),
            broker: Arc::new(InProcessBroker::default()),
        }
    }

    pub async fn job(&self, id: &JobId) -> (JobRecord, Vec<TaskRecord>) {
        self.store.load(id).await.unwrap().expect("the job is there")
    }

    async fn apply(&self, id: &JobId, changes: &[Change]) {
        let (job, tasks) = self.job(id).await;
        assert!(self.store.apply(&job, &tasks, changes).await.unwrap(), "nobody else works on it");
        self.broker.notify(&format!("job.{id}")).await.unwrap();
    }

    /// Plans one task and begins it.
    pub async fn begin(&self, id: &JobId) -> TaskRecord {
        let task = TaskId::generate();
        let plan = NewTask {
            id: task.clone(),
            node: "transcribe".into(),
            stage: "transcribe".into(),
            engine_id: "scripted".into(),
            channel: None,
            depends_on: vec![],
            deadline: Duration::from_secs(60),
            max_attempts: 1,
        };
        let running = Change::Job { status: JobStatus::Running, error: None };
        let ready = Change::Ready { task: task.clone(), traceparent: None, deadline: super::LONG };
        self.apply(id, &[Change::Insert(plan), running, ready]).await;
        self.start(&task).await
    }

    pub async fn start(&self, task: &TaskId) -> TaskRecord {
        match self.store.start(task, "test", false).await.unwrap() {
            Started::Run(work) => work.task,
            other => panic!("{other:?}"),
        }
    }

    pub async fn progress(&self, task: &TaskRecord, done: f64) {
        self.store.progress(&task.id, task.attempt, done).await.unwrap();
        self.broker.notify(&format!("job.{}", task.job_id)).await.unwrap();
    }

    pub async fn finish(&self, task: &TaskRecord, transcript: &Transcript) {
        let id = &task.job_id;
        let output = format!("jobs/{id}/transcribe/{}/output.json", task.attempt);
        self.artifacts.put(&output, r#"{"result":{},"files":{}}"#).await.unwrap();
        assert!(self.store.commit(&task.id, task.attempt, &output).await.unwrap());
        let key = format!("jobs/{id}/transcript.json");
        self.artifacts.put(&key, serde_json::to_vec(transcript).unwrap()).await.unwrap();
        let completed = Change::Job { status: JobStatus::Completed, error: None };
        self.apply(id, &[Change::Prepared { duration: transcript.duration }, Change::Result { key }, completed]).await;
    }

    pub async fn fail(&self, task: &TaskRecord, code: &str, message: &str) {
        let failure = TaskFailure { code: code.into(), message: message.into(), retryable: false };
        assert!(self.store.fail(&task.id, task.attempt, &failure).await.unwrap());
        let error = JobError { code: code.into(), message: message.into(), stage: Some("transcribe".into()) };
        self.apply(&task.job_id, &[Change::Job { status: JobStatus::Failed, error: Some(error) }]).await;
    }

    /// From pending to completed.
    pub async fn complete(&self, id: &JobId, transcript: &Transcript) {
        let task = self.begin(id).await;
        self.finish(&task, transcript).await;
    }

    /// The next job of a tenant that nobody has begun.
    pub async fn next_job(&self, tenant: &str) -> JobId {
        let mut changed = self.store.changed();
        loop {
            let query =
                dalston_store::ListQuery { status: Some(JobStatus::Pending), since: None, limit: 1, cursor: None };
            if let Some(job) = self.store.list(tenant, query).await.unwrap().jobs.first() {
                return job.id.clone();
            }
            timeout(super::LONG, changed.changed()).await.expect("no job came").unwrap();
        }
    }
}

/// "go forward ten meters", said by two speakers in two seconds.
pub fn heard() -> Transcript {
    let word = |text: &str, start: f64, end: f64| Word {
        text: text.into(),
        word: text.into(),
        start,
        end,
        confidence: Some(0.9),
    };
    let segment = |id, start, end, speaker: &str, words: Vec<Word>| Segment {
        id,
        start,
        end,
        text: words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "),
        speaker: Some(speaker.into()),
        channel: None,
        confidence: Some(0.9),
        words,
        words_estimated: false,
    };
    Transcript {
        text: "go forward ten meters".into(),
        language: "en".into(),
        duration: 2.0,
        model: "scripted/en".into(),
        segments: vec![
            segment(0, 0.0, 1.0, "speaker_0", vec![word("go", 0.0, 0.4), word("forward", 0.5, 1.0)]),
            segment(1, 1.2, 2.0, "speaker_1", vec![word("ten", 1.2, 1.5), word("meters", 1.5, 2.0)]),
        ],
        warnings: Vec::new(),
    }
}

/// A form on its way.
#[derive(Default, Clone)]
pub struct Form {
    parts: Vec<(String, Vec<u8>)>,
}

pub const BOUNDARY: &str = "----dalston-boundary";

impl Form {
    /// With a file of these bytes and no more.
    pub fn of(audio: &[u8]) -> Self {
        Self::default().file("talk.wav", audio)
    }

    pub fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let head = format!("name=\"file\"; filename=\"{name}\"\r\nContent-Type: audio/wav");
        self.parts.push((head, bytes.to_vec()));
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.parts.push((format!("name=\"{name}\""), value.as_bytes().to_vec()));
        self
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    pub fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (head, value) in &self.parts {
            body.extend_from_slice(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(value);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        body
    }
}
