//! A worker behind a real in-process link, and an engine that does as it is told.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part, and a test may panic")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use dalston_engine_sdk::{
    Capabilities, EngineError, Hypothesis, Languages, Recognizer, StreamOptions, StreamingEngine, Word,
};
use dalston_protocol::{
    Close, LeaseId, RequestId, SessionId,
    realtime::{ClientMessage, ServerMessage, SessionConfig, SessionEnd, TranscriptFinal},
};
use dalston_realtime::{RealtimeConfig, Worker};
use dalston_session_router::{
    Address, InProcessRegistry, Membership, Registry, WorkerRecord,
    link::{
        ClusterSecret, Continuation, FromWorker, Liveness, Refusal, ServerSettings, SessionChannel, SessionOffer,
        ToWorker, WebSocketLink, WorkerLink, WorkerPort, WorkerServer, in_process,
    },
};
use dalston_store::Archive;
use dalston_telemetry::{Metrics, TraceContext, Tracers};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// What an engine does at a call; the number counts the calls of `accept` of all its recognisers from 1.
pub type Script = fn(accept: u64) -> Deed;

/// One of the things that engines do.
pub enum Deed {
    Work,
    Take(Duration),
    Fail,
    Panic,
    Hang,
}

/// An engine whose words say exactly which audio it heard: `<samples>:<checksum>`, and that makes nothing of silence.
pub struct Scripted {
    capabilities: Capabilities,
    script: Script,
    accepts: Arc<AtomicU64>,
    /// Streams for utterances, and how long one waits for its turn.
    pool: Option<(Arc<Semaphore>, Duration)>,
    /// Calls of `finish` that fail, before the others work.
    bad_ends: Arc<AtomicU64>,
}

impl Scripted {
    pub fn engine(script: Script) -> Arc<dyn StreamingEngine> {
        Arc::new(Self::new(script, None))
    }

    /// Decodes so many utterances at once. The next waits its turn, for so long.
    pub fn pooled(streams: usize, longest: Duration) -> Arc<dyn StreamingEngine> {
        Arc::new(Self::new(|_| Deed::Work, Some((Arc::new(Semaphore::new(streams)), longest))))
    }

    /// Fails so many times to end an utterance.
    pub fn failing_to_finish(times: u64) -> Arc<dyn StreamingEngine> {
        Arc::new(Self { bad_ends: Arc::new(times.into()), ..Self::new(|_| Deed::Work, None) })
    }

    fn new(script: Script, pool: Option<(Arc<Semaphore>, Duration)>) -> Self {
        let capabilities = Capabilities {
            engine_id: "scripted".into(),
            model: "test".into(),
            version: "1".into(),
            languages: Languages::Only(vec!["en".into(), "de".into()]),
            partials: true,
            word_timestamps: true,
            confidence: true,
            vocabulary: false,
            punctuation: false,
            alignment: false,
            translation: false,
            max_streams: None,
        };
        Self { capabilities, script, accepts: Arc::default(), pool, bad_ends: Arc::default() }
    }

    pub fn working() -> Arc<dyn StreamingEngine> {
        Self::engine(|_| Deed::Work)
    }
}

impl StreamingEngine for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn open(&self, _: StreamOptions) -> Result<Box<dyn Recognizer>, EngineError> {
        let (script, accepts, pool) = (self.script, self.accepts.clone(), self.pool.clone());
        let bad_ends = self.bad_ends.clone();
        Ok(Box::new(Hearing { script, accepts, pool, bad_ends, stream: None, samples: 0, checksum: 0 }))
    }
}

struct Hearing {
    script: Script,
    accepts: Arc<AtomicU64>,
    pool: Option<(Arc<Semaphore>, Duration)>,
    bad_ends: Arc<AtomicU64>,
    stream: Option<OwnedSemaphorePermit>,
    samples: u64,
    checksum: u64,
}

impl Hearing {
    fn hypothesis(&self) -> Hypothesis {
        let text = format!("{}:{:x}", self.samples, self.checksum);
        let end = self.samples as f64 / 16_000.0;
        let words = vec![Word { text: text.clone(), start: 0.0, end, confidence: Some(0.5) }];
        Hypothesis { text, words, confidence: Some(0.5) }
    }
}

impl Recognizer for Hearing {
    fn begin(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            if let Some((streams, longest)) = &self.pool {
                let turn = tokio::time::timeout(*longest, streams.clone().acquire_owned()).await;
                self.stream = Some(turn.map_err(|_| EngineError::Busy(*longest))?.expect("the pool is never closed"));
            }
            Ok(())
        }
        .boxed()
    }

    fn accept<'a>(
        &'a mut self,
        samples: &'a [i16],
        want_partial: bool,
    ) -> BoxFuture<'a, Result<Option<Hypothesis>, EngineError>> {
        async move {
            let call = self.accepts.fetch_add(1, SeqCst) + 1;
            match (self.script)(call) {
                Deed::Work => {}
                Deed::Take(time) => tokio::time::sleep(time).await,
                Deed::Fail => return Err(EngineError::Failed("as scripted".into())),
                Deed::Panic => panic!("as scripted"),
                Deed::Hang => std::future::pending().await,
            }
            self.samples += samples.len() as u64;
            self.checksum = samples.iter().fold(self.checksum, |sum, &s| sum.wrapping_mul(31).wrapping_add(s as u64));
            Ok(want_partial.then(|| self.hypothesis()))
        }
        .boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Hypothesis, EngineError>> {
        async move {
            let fewer = |bad: u64| bad.checked_sub(1);
            if self.bad_ends.fetch_update(SeqCst, SeqCst, fewer).is_ok() {
                return Err(EngineError::Failed("as scripted".into()));
            }
            let silent = self.checksum == 0;
            let hypothesis = if silent { Hypothesis::default() } else { self.hypothesis() };
            self.reset();
            Ok(hypothesis)
        }
        .boxed()
    }

    fn reset(&mut self) {
        (self.samples, self.checksum, self.stream) = (0, 0, None);
    }
}

/// A running worker.
pub struct Stage {
    link: Arc<dyn WorkerLink>,
    pub record: WorkerRecord,
    /// Of a worker that is reached over a socket.
    server: Option<WorkerServer>,
    shutdown: CancellationToken,
    pub worker: JoinHandle<()>,
}

impl Stage {
    pub async fn new(engine: Arc<dyn StreamingEngine>) -> Self {
        Self::with(engine, RealtimeConfig::default()).await
    }

    pub async fn with(engine: Arc<dyn StreamingEngine>, config: RealtimeConfig) -> Self {
        Self::keeping(engine, config, None).await
    }

    pub async fn keeping(engine: Arc<dyn StreamingEngine>, config: RealtimeConfig, archive: Option<Archive>) -> Self {
        let worker = Worker::new(config, vec![engine], Arc::new(Metrics::new()), Tracers::default(), archive);
        let (link, port) = in_process();
        Self::start(worker, Address::InProcess, Arc::new(link), port, None).await
    }

    /// The worker is reached over a socket, as from another machine.
    pub async fn remote(engine: Arc<dyn StreamingEngine>, config: RealtimeConfig, tracers: Tracers) -> Self {
        let worker = Worker::new(config, vec![engine], Arc::new(Metrics::new()), tracers, None);
        let settings = ServerSettings::new("127.0.0.1:0".parse().unwrap(), secret(), 100);
        let (server, port) = WorkerServer::listen(settings).unwrap();
        let Address::Url(url) = server.address() else { panic!("a server is reached at a URL") };
        let link = WebSocketLink::new(&url, secret(), Liveness::default()).unwrap();
        Self::start(worker, server.address(), Arc::new(link), port, Some(server)).await
    }

    async fn start(
        worker: Worker,
        address: Address,
        link: Arc<dyn WorkerLink>,
        port: WorkerPort,
        server: Option<WorkerServer>,
    ) -> Self {
        let registry: Arc<dyn Registry> = Arc::new(InProcessRegistry::default());
        let record = worker.record(address);
        let membership = Membership::join(registry, record.clone(), Duration::from_secs(5)).await.unwrap();
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(worker.run(port, membership, shutdown.clone()));
        Self { link, record, server, shutdown, worker }
    }

    /// The worker has ended; whoever was connected hears the last of it.
    pub async fn gone(self) {
        self.worker.await.unwrap();
        if let Some(server) = self.server {
            server.close(Duration::from_secs(10)).await;
        }
    }

    pub fn drain(&self) {
        self.shutdown.cancel();
    }

    pub async fn try_open(&self, config: SessionConfig) -> Result<Client, Refusal> {
        self.offer(SessionId::generate(), config, None).await
    }

    /// A session that another worker had.
    pub async fn continues(&self, config: SessionConfig, continuation: Continuation) -> Client {
        self.continues_as(SessionId::generate(), config, continuation).await
    }

    pub async fn continues_as(&self, id: SessionId, config: SessionConfig, continuation: Continuation) -> Client {
        self.offer(id, config, Some(Box::new(continuation))).await.expect("the worker takes the session")
    }

    async fn offer(
        &self,
        session_id: SessionId,
        config: SessionConfig,
        continues: Option<Box<Continuation>>,
    ) -> Result<Client, Refusal> {
        let offer = SessionOffer {
            session_id,
            request_id: RequestId::generate(),
            tenant: "test".into(),
            lease: LeaseId::generate(),
            config,
            trace: TraceContext::none(),
            continues,
        };
        Ok(Client { channel: self.link.open(offer).await? })
    }

    pub async fn open(&self, config: SessionConfig) -> Client {
        self.try_open(config).await.expect("the worker takes the session")
    }
}

pub fn secret() -> ClusterSecret {
    ClusterSecret::new("the-secret-of-these-tests").unwrap()
}

/// The gateway's end, as a client would drive it.
pub struct Client {
    pub channel: SessionChannel,
}

impl Client {
    pub async fn audio(&self, bytes: impl Into<Bytes>) {
        // A worker that has closed takes nothing more, which its close says better.
        let _ = self.channel.to_worker.send(ToWorker::Audio(bytes.into())).await;
    }

    pub async fn say(&self, message: ClientMessage) {
        let _ = self.channel.to_worker.send(ToWorker::Message(Box::new(message))).await;
    }

    pub async fn next(&mut self) -> FromWorker {
        self.channel.from_worker.recv().await.expect("a close before the end")
    }

    /// Everything up to the close.
    pub async fn rest(mut self) -> Heard {
        let mut heard = Heard { events: Vec::new(), settled: Vec::new(), close: Close::normal() };
        loop {
            match self.next().await {
                FromWorker::Event(event) => heard.events.push(*event),
                FromWorker::Settled(until) => heard.settled.push((heard.events.len(), until)),
                FromWorker::Spoken(_) | FromWorker::Leaving => {}
                FromWorker::Closed(close) => {
                    heard.close = *close;
                    assert!(self.channel.from_worker.recv().await.is_none(), "something followed the close");
                    return heard;
                }
            }
        }
    }

    /// Sends all of it and `end`, and hears everything.
    pub async fn stream(self, chunks: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Heard {
        let sender = self.channel.to_worker.clone();
        let sending = tokio::spawn(async move {
            for chunk in chunks {
                if sender.send(ToWorker::Audio(chunk.into())).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(ToWorker::Message(Box::new(ClientMessage::End))).await;
        });
        let heard = self.rest().await;
        sending.await.unwrap();
        heard
    }
}

/// What a session said.
#[derive(Debug)]
pub struct Heard {
    pub events: Vec<ServerMessage>,
    /// How far the audio was answered for, and after how many events that was said.
    pub settled: Vec<(usize, Duration)>,
    pub close: Close,
}

impl Heard {
    pub fn finals(&self) -> Vec<&TranscriptFinal> {
        self.events
            .iter()
            .filter_map(|event| match event {
                ServerMessage::Final(said) => Some(said),
                _ => None,
            })
            .collect()
    }

    /// How much audio the engine heard for the finals.
    pub fn samples(&self) -> u64 {
        self.finals().iter().map(|said| said.text.split(':').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    pub fn session_end(&self) -> Option<&SessionEnd> {
        match self.events.last() {
            Some(ServerMessage::SessionEnd(end)) => Some(end),
            _ => None,
        }
    }

    pub fn count(&self, wanted: impl Fn(&ServerMessage) -> bool) -> usize {
        self.events.iter().filter(|event| wanted(event)).count()
    }
}

/// Settings under which exactly what was sent is one utterance.
pub fn without_vad() -> SessionConfig {
    SessionConfig { enable_vad: false, word_timestamps: true, ..SessionConfig::default() }
}

/// `seconds` of 16 kHz audio in which every sample differs from its neighbours.
pub fn noise(seconds: f64) -> Vec<u8> {
    let samples = (seconds * 16_000.0) as u32;
    (0..samples).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()[..2].to_vec()).collect()
}

/// Real enough speech: the project's demo recording, 16 kHz, with pauses between its sentences.
pub fn speech() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/demo.wav");
    let wav = std::fs::read(path).expect("the demo recording is part of the project");
    let data = wav.windows(4).position(|w| w == b"data").expect("a WAV file has data") + 8;
    wav[data..].to_vec()
}

/// Pieces of so many bytes.
pub fn chunks(audio: Vec<u8>, size: usize) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let count = audio.len().div_ceil(size);
    (0..count).map(move |i| audio[i * size..audio.len().min((i + 1) * size)].to_vec())
}

/// A session that sends all of it and `end`.
pub async fn stream(stage: &Stage, config: SessionConfig, audio: Vec<u8>, size: usize) -> Heard {
    stage.open(config).await.stream(chunks(audio, size)).await
}

/// Sends it at the pace of speech.
pub fn live(client: &Client, audio: Vec<u8>) -> JoinHandle<()> {
    let sender = client.channel.to_worker.clone();
    tokio::spawn(async move {
        for chunk in chunks(audio, 3_200) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if sender.send(ToWorker::Audio(chunk.into())).await.is_err() {
                return;
            }
        }
    })
}

/// Warnings of this code.
pub fn warnings(heard: &Heard, wanted: &str) -> usize {
    heard.count(|e| matches!(e, ServerMessage::Warning { code, .. } if code == wanted))
}
