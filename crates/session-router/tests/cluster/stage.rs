//! A cluster in one process: everything between its parts goes through Redis and sockets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use dalston_engine_sdk::{Capabilities, Languages};
use dalston_protocol::{
    ApiError, Close, RequestId, SessionId, WorkerId,
    realtime::{ServerMessage, SessionConfig},
};
use dalston_redis::testing::RedisServer;
use dalston_session_router::{
    Allocated, Held, Links, Membership, RedisRegistry, Registry, RegistryTimes, RouterSettings, SessionRequest,
    SessionRouter, WorkerRecord, WorkerStatus,
    link::{ClusterSecret, FromWorker, Liveness, Refusal, ServerSettings, ToWorker, WorkerChannel, WorkerServer},
};
use dalston_telemetry::{Metrics, TraceContext, Tracers};
use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// Longer than the two seconds after which a standstill is noticed; else a short one would cost leases.
pub const TIMES: RegistryTimes =
    RegistryTimes { worker_ttl: Duration::from_secs(4), forget_after: Duration::from_secs(16) };
pub const LEASE: Duration = Duration::from_secs(4);
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Everything that must heal has healed by then: heartbeats, leases, and pauses before Redis is tried again.
const HEALED: Duration = Duration::from_secs(20);

fn secret() -> ClusterSecret {
    ClusterSecret::new("the-secret-of-these-tests").unwrap()
}

/// The registry, and the task that notices standstills of the server.
async fn registry(redis: &RedisServer) -> (Arc<RedisRegistry>, AbortOnDropHandle<()>) {
    let registry = Arc::new(RedisRegistry::open(&redis.url(), "test", TIMES, Tracers::off()).unwrap());
    let beating = AbortOnDropHandle::new(tokio::spawn(registry.clone().notice_standstills()));
    (registry, beating)
}

/// A worker that answers each piece of audio with an event, and takes as many sessions as it has slots.
pub struct Worker {
    pub id: WorkerId,
    pub capacity: usize,
    /// Sessions that it has.
    pub live: Arc<AtomicUsize>,
    /// The most it ever had.
    pub most: Arc<AtomicUsize>,
    _beating: AbortOnDropHandle<()>,
    serving: JoinHandle<()>,
    _server: WorkerServer,
}

impl Worker {
    pub async fn start(redis: &RedisServer, capacity: usize) -> Self {
        let (registry, beating) = registry(redis).await;
        let settings = ServerSettings::new("127.0.0.1:0".parse().unwrap(), secret(), capacity);
        let (server, mut port) = WorkerServer::listen(settings).unwrap();
        let id = WorkerId::generate();
        let record =
            WorkerRecord { worker_id: id.clone(), address: server.address(), capacity, engines: vec![engine()] };
        let membership = join(registry, record).await;
        let (live, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let (counts, highest) = (live.clone(), most.clone());
        let serving = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Some(incoming) = port.next().await {
                if counts.load(SeqCst) >= capacity {
                    incoming.refuse(Refusal::Full);
                    continue;
                }
                let Some((offer, channel)) = incoming.accept() else { continue };
                highest.fetch_max(counts.fetch_add(1, SeqCst) + 1, SeqCst);
                let held = membership.hold(offer.lease.clone());
                sessions.spawn(serve(channel, held, Counted(counts.clone())));
            }
        });
        Self { id, capacity, live, most, _beating: beating, serving, _server: server }
    }

    pub fn live(&self) -> usize {
        self.live.load(SeqCst)
    }
}

impl Drop for Worker {
    /// It dies: nobody is told.
    fn drop(&mut self) {
        self.serving.abort();
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Until the registry is there.
async fn join(registry: Arc<RedisRegistry>, record: WorkerRecord) -> Membership {
    let started = Instant::now();
    loop {
        match Membership::join(registry.clone(), record.clone(), HEARTBEAT).await {
            Ok(membership) => return membership,
            Err(unavailable) => assert!(started.elapsed() < HEALED, "{unavailable}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn serve(mut channel: WorkerChannel, _held: Held, _counted: Counted) {
    while let Some(ToWorker::Audio(_)) = channel.from_client.recv().await {
        let heard = FromWorker::Event(Box::new(ServerMessage::SpeechStart { timestamp: 1.0, channel: None }));
        if channel.to_client.send(heard).await.is_err() {
            return;
        }
    }
    channel.close(Close::normal()).await;
}

/// A gateway and its sessions.
pub struct Gateway {
    router: SessionRouter,
    registry: Arc<RedisRegistry>,
    sessions: Vec<Session>,
    /// Workers whose sessions ended by themselves.
    pub ended: Arc<Mutex<Vec<WorkerId>>>,
    _beating: AbortOnDropHandle<()>,
}

struct Session {
    hang_up: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Gateway {
    pub async fn start(redis: &RedisServer) -> Self {
        let (registry, beating) = registry(redis).await;
        let settings = RouterSettings { lease_ttl: LEASE, ..RouterSettings::default() };
        let links = Links::new().across_machines(secret(), Liveness::default());
        let router = SessionRouter::new(registry.clone(), settings, Tracers::off(), Arc::new(Metrics::new()));
        let router = router.with_links(links);
        Self { router, registry, sessions: Vec::new(), ended: Arc::default(), _beating: beating }
    }

    pub async fn allocate(&self) -> Result<Allocated, ApiError> {
        let request = SessionRequest {
            session_id: SessionId::generate(),
            request_id: RequestId::generate(),
            tenant: "test".into(),
            config: SessionConfig::default(),
        };
        self.router.allocate(request, &TraceContext::none()).await
    }

    /// Begins a session that goes on until it is hung up, or until its worker dies.
    pub async fn open(&mut self) -> Result<WorkerId, ApiError> {
        let allocated = self.allocate().await?;
        let worker = allocated.worker_id.clone();
        let (hang_up, hung_up) = oneshot::channel();
        let talking = talk(allocated, self.registry.clone(), self.ended.clone(), hung_up);
        self.sessions.push(Session { hang_up, task: tokio::spawn(talking) });
        Ok(worker)
    }

    pub async fn hang_up(&mut self, number: usize) {
        let Session { hang_up, task } = self.sessions.swap_remove(number);
        // One whose worker has died has ended already.
        let _ = hang_up.send(());
        timeout(HEALED, task).await.expect("a session ends").unwrap();
    }

    /// Sessions that have not ended by themselves.
    pub fn open_sessions(&mut self) -> usize {
        self.sessions.retain(|session| !session.task.is_finished());
        self.sessions.len()
    }

    pub async fn workers(&self) -> Vec<WorkerStatus> {
        let started = Instant::now();
        loop {
            match self.registry.workers().await {
                Ok(workers) => return workers,
                Err(unavailable) => assert!(started.elapsed() < HEALED, "{unavailable}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn used(&self, worker: &Worker) -> usize {
        self.workers().await.into_iter().find(|status| status.worker_id == worker.id).map_or(0, |status| status.used)
    }

    /// Waits until the registry says of each worker what the worker says of itself.
    pub async fn agrees_with(&self, workers: &[Worker]) {
        let started = Instant::now();
        loop {
            let stated = self.workers().await;
            let of = |worker: &Worker| stated.iter().find(|s| s.worker_id == worker.id).map(|s| s.used);
            let views: Vec<_> = workers.iter().map(|worker| (of(worker), worker.live())).collect();
            if views.iter().all(|(used, live)| *used == Some(*live)) {
                return;
            }
            assert!(started.elapsed() < HEALED, "slots in use and live sessions: {views:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// It dies: nothing is released.
    pub fn crash(self) {
        let tasks: Vec<AbortHandle> = self.sessions.iter().map(|session| session.task.abort_handle()).collect();
        drop(self.router);
        tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Says something now and then and hears the answer, as a live session does.
async fn talk(
    allocated: Allocated,
    registry: Arc<RedisRegistry>,
    ended: Arc<Mutex<Vec<WorkerId>>>,
    mut hung_up: oneshot::Receiver<()>,
) {
    let Allocated { mut channel, lease, worker_id, .. } = allocated;
    let died = loop {
        if channel.to_worker.send(ToWorker::Audio(Bytes::from_static(b"audio"))).await.is_err() {
            break true;
        }
        match timeout(Liveness::default().dead_after * 2, channel.from_worker.recv()).await.expect("an answer") {
            Some(FromWorker::Event(_)) => {}
            _ => break true,
        }
        tokio::select! {
            biased;
            _ = &mut hung_up => break false,
            () = sleep(Duration::from_millis(100)) => {}
        }
    };
    if died {
        ended.lock().push(worker_id.clone());
        // As a gateway does; when Redis is away, nobody can be told.
        let _ = registry.suspect(&worker_id, Duration::from_secs(1)).await;
    } else {
        drop(channel.to_worker);
        while let Some(said) = channel.from_worker.recv().await {
            if matches!(said, FromWorker::Closed(_)) {
                break;
            }
        }
    }
    lease.release().await;
}

fn engine() -> Capabilities {
    Capabilities {
        engine_id: "echo".into(),
        model: "echo-en".into(),
        version: "1".into(),
        languages: Languages::Only(vec!["en".into()]),
        partials: true,
        word_timestamps: true,
        confidence: true,
        vocabulary: false,
        punctuation: false,
        max_streams: None,
        alignment: false,
        translation: false,
    }
}
