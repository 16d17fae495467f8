//! A gateway on a real listener, with a worker that each test plays itself behind the real in-process link.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

pub mod jobs;
pub mod keys;
pub mod resuming;
pub mod wire;

use std::{fmt::Display, net::SocketAddr, sync::Arc, time::Duration};

use dalston_egress::Client;
use dalston_engine_sdk::{Capabilities, Languages};
use dalston_gateway::{Deps, Gateway, GatewayConfig, Jobs};
use dalston_protocol::{
    Close, WorkerId,
    realtime::{ClientMessage, FinalCause, ServerMessage, SessionEnd, SessionInfo, TranscriptFinal},
};
use dalston_session_router::{
    Address, InProcessRegistry, Registry, RegistryTimes, ResumeStore, RouterSettings, SessionRouter, WorkerRecord,
    link::{FromWorker, Refusal, SessionOffer, ToWorker, WorkerChannel, WorkerPort, in_process},
};
use dalston_telemetry::{Metrics, SessionOutcome, Tracers};
use keys::Keys;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Far above what anything here takes; only a bug waits so long.
pub const LONG: Duration = Duration::from_secs(20);

/// Slots of the worker.
pub const CAPACITY: usize = 1_000;

pub struct Server {
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub registry: Arc<dyn Registry>,
    pub worker_id: WorkerId,
    port: WorkerPort,
    stop: CancellationToken,
    /// What else the process does: the gateway serves until all of it has ended.
    pub others: TaskTracker,
    serving: JoinHandle<()>,
    _keys: Option<Arc<tempfile::TempDir>>,
}

/// Settings in which nothing a test does not ask for comes to pass.
pub fn config(toml: &str) -> GatewayConfig {
    toml::from_str(toml).expect("the test's settings are well formed")
}

/// Reaches one address of this machine, where tests have their servers, and looks no name up.
fn egress(tracers: Tracers) -> Client {
    let settings = dalston_egress::Settings { allow: vec!["127.0.0.1".parse().unwrap()], ..Default::default() };
    Client::new(settings, tracers).unwrap().with_names(|_| Ok(vec![[10, 0, 0, 1].into()]))
}

impl Server {
    pub async fn start(toml: &str) -> Self {
        Self::with(config(toml), Tracers::off(), CAPACITY).await
    }

    pub async fn with(config: GatewayConfig, tracers: Tracers, capacity: usize) -> Self {
        Self::serving(config, tracers, capacity, None).await
    }

    /// A gateway that looks for keys there.
    pub async fn with_keys(config: GatewayConfig, keys: &Keys) -> Self {
        Self::launch(config, Tracers::off(), CAPACITY, None, Some(keys)).await
    }

    pub async fn serving(config: GatewayConfig, tracers: Tracers, capacity: usize, jobs: Option<Jobs>) -> Self {
        Self::launch(config, tracers, capacity, jobs, None).await
    }

    pub async fn launch(
        config: GatewayConfig,
        tracers: Tracers,
        capacity: usize,
        jobs: Option<Jobs>,
        keys: Option<&Keys>,
    ) -> Self {
        Self::tuned(config, tracers, capacity, jobs, keys, |gateway| gateway).await
    }

    /// A gateway that keeps sessions there whose clients may come back.
    pub async fn with_resume_store(config: GatewayConfig, store: Arc<dyn ResumeStore>) -> Self {
        Self::tuned(config, Tracers::off(), CAPACITY, None, None, |gateway| gateway.with_resume_store(store)).await
    }

    async fn tuned(
        config: GatewayConfig,
        tracers: Tracers,
        capacity: usize,
        jobs: Option<Jobs>,
        keys: Option<&Keys>,
        tune: impl FnOnce(Gateway) -> Gateway,
    ) -> Self {
        // Tests hold a worker for as long as they like without sending its heartbeats.
        let times = RegistryTimes { worker_ttl: Duration::from_secs(3_600), forget_after: Duration::from_secs(7_200) };
        let registry: Arc<dyn Registry> = Arc::new(InProcessRegistry::new(times));
        let (link, port) = in_process();
        let worker_id = WorkerId::generate();
        if capacity > 0 {
            registry.register(worker(&worker_id, capacity)).await.unwrap();
        }
        let metrics = Arc::new(Metrics::new());
        let router = SessionRouter::new(registry.clone(), RouterSettings::default(), tracers.clone(), metrics.clone());
        router.links().insert(worker_id.clone(), Arc::new(link));

        let deps = Deps { router: Arc::new(router), tracers: tracers.clone(), metrics: metrics.clone() };
        let mut gateway = Gateway::new(config, deps).expect("the test's settings are allowed");
        if let Some(jobs) = jobs {
            gateway = gateway.with_jobs(jobs).expect("the test's settings are allowed").with_egress(egress(tracers));
        }
        if let Some(keys) = keys {
            gateway = gateway.with_keys(keys.store.clone(), keys.secret.clone());
        }
        let gateway = tune(gateway);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let others = TaskTracker::new();
        others.close();
        let rest = {
            let others = others.clone();
            async move { others.wait().await }
        };
        let serving = tokio::spawn(async move { gateway.serve(listener, stopped, rest).await.unwrap() });
        let folder = keys.map(|keys| keys.folder.clone());
        Self { address, metrics, registry, worker_id, port, stop, others, serving, _keys: folder }
    }

    /// The next session that reaches the worker, accepted and begun.
    pub async fn session(&mut self) -> Session {
        let session = self.quiet_session().await;
        session.send(session_begin(&session.offer)).await;
        session
    }

    /// The same, without `session.begin`.
    pub async fn quiet_session(&mut self) -> Session {
        let incoming = timeout(LONG, self.port.next()).await.expect("no session reached the worker").unwrap();
        let (offer, channel) = incoming.accept().expect("the gateway waits for the answer");
        Session { offer, channel }
    }

    pub async fn refuse_session(&mut self, refusal: Refusal) {
        timeout(LONG, self.port.next()).await.expect("no session reached the worker").unwrap().refuse(refusal);
    }

    pub fn begin_drain(&self) {
        self.stop.cancel();
    }

    pub async fn drained(self) {
        timeout(LONG, self.serving).await.expect("the gateway does not end").unwrap();
    }

    pub async fn stop(self) {
        self.begin_drain();
        self.drained().await;
    }

    /// Slots that are taken.
    pub async fn used(&self) -> usize {
        self.registry.workers().await.unwrap().iter().map(|worker| worker.used).sum()
    }

    /// Waits until a session has ended in this way, and that it is the only one that has ended.
    pub async fn ended_once(&self, outcome: SessionOutcome) {
        let all = || SessionOutcome::ALL.map(|outcome| (outcome, self.metrics.sessions_ended(outcome)));
        let wait = async {
            while all().iter().all(|(_, count)| *count == 0) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LONG, wait).await.expect("no session ended");
        let ended: Vec<_> = all().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(ended, [(outcome, 1)]);
        assert_eq!(self.metrics.sessions_open.get(), 0);
    }
}

/// The worker's end of a session.
pub struct Session {
    pub offer: SessionOffer,
    pub channel: WorkerChannel,
}

impl Session {
    pub async fn send(&self, event: ServerMessage) {
        timeout(LONG, self.channel.to_client.send(FromWorker::Event(Box::new(event))))
            .await
            .expect("the gateway takes no event")
            .expect("the gateway still listens");
    }

    pub async fn close(&self, close: Close) {
        // A gateway that has gone needs no close.
        let _ = self.channel.to_client.send(FromWorker::Closed(Box::new(close))).await;
    }

    /// What comes next from the client; `None` when it is gone.
    pub async fn next(&mut self) -> Option<ToWorker> {
        loop {
            let said = timeout(LONG, self.channel.from_client.recv()).await.expect("nothing came from the client");
            // The gateway's own: it passes on none of a client's.
            if !matches!(&said, Some(ToWorker::Message(message)) if **message == ClientMessage::Keepalive) {
                return said;
            }
        }
    }

    /// All audio until the client is gone, closes, or says something.
    pub async fn audio(&mut self) -> (Vec<u8>, Option<ToWorker>) {
        let mut bytes = Vec::new();
        loop {
            match self.next().await {
                Some(ToWorker::Audio(audio)) => bytes.extend_from_slice(&audio),
                other => return (bytes, other),
            }
        }
    }

    /// Answers as a worker does after `end` or a vanished client.
    pub async fn finish(self) {
        let end = ServerMessage::SessionEnd(SessionEnd {
            session_id: self.offer.session_id.clone(),
            total_audio_seconds: 0.0,
            total_speech_duration: 0.0,
            transcript: String::new(),
            segments: Vec::new(),
            truncated: false,
        });
        let _ = self.channel.to_client.send(FromWorker::Event(Box::new(end))).await;
        self.close(Close::normal()).await;
    }
}

pub fn session_begin(offer: &SessionOffer) -> ServerMessage {
    ServerMessage::SessionBegin {
        session_id: offer.session_id.clone(),
        request_id: offer.request_id.clone(),
        trace_id: offer.trace.trace_id(),
        config: SessionInfo {
            sample_rate: offer.config.sample_rate,
            encoding: offer.config.encoding.clone(),
            channels: offer.config.channels,
            language: "en".into(),
            model: "scripted/en".into(),
        },
        resume: None,
        resumed: None,
    }
}

pub fn partial(utterance: usize, text: &str) -> ServerMessage {
    let (utterance_id, text) = (format!("utt_{utterance}"), text.to_owned());
    ServerMessage::Partial { utterance_id, text, start: 0.0, end: 1.0, channel: None }
}

pub fn transcript(utterance: usize, text: &str) -> ServerMessage {
    transcript_at(utterance, text, 0.0, 1.0)
}

pub fn transcript_at(utterance: impl Display, text: &str, start: f64, end: f64) -> ServerMessage {
    ServerMessage::Final(TranscriptFinal {
        utterance_id: format!("utt_{utterance}"),
        text: text.into(),
        start,
        end,
        confidence: None,
        language: "en".into(),
        words: Vec::new(),
        channel: None,
        cause: FinalCause::Endpoint,
        id: None,
    })
}

fn worker(id: &WorkerId, capacity: usize) -> WorkerRecord {
    let engine = Capabilities {
        engine_id: "scripted".into(),
        model: "en".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["en".into()]),
        partials: true,
        word_timestamps: true,
        confidence: true,
        vocabulary: true,
        punctuation: false,
        alignment: false,
        translation: false,
        max_streams: None,
    };
    WorkerRecord { worker_id: id.clone(), address: Address::InProcess, capacity, engines: vec![engine] }
}
