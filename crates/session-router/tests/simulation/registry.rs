//! The registry of one process, on a host of its own, and the way there.

use std::{sync::Arc, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use dalston_session_router::{
    Heartbeat, InProcessRegistry, Lease, Registry, RegistryTimes, Reservation, ReserveError, ReserveRequest,
    Unavailable, Wanted, WorkerRecord, WorkerStatus,
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::{sleep, timeout},
};
use turmoil::net::{TcpListener, TcpStream};

use crate::{
    Mode, Sabotage,
    history::History,
    plan::Host,
    wire::{Answer, PORT, Question},
};

/// For an answer: as long as the registry on Redis waits.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often the history is told what the registry says.
const GLANCE: Duration = Duration::from_millis(100);

/// The host.
pub async fn run(history: Arc<History>, mode: Mode) -> turmoil::Result {
    let registry = Arc::new(InProcessRegistry::new(RegistryTimes::default()));
    let desk = Arc::new(Desk { registry, history, mode });
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    tokio::spawn(desk.clone().glance());
    loop {
        let (stream, _) = listener.accept().await?;
        let desk = desk.clone();
        // One that breaks is a question that was not asked, or an answer that nobody waits for.
        tokio::spawn(async move { desk.exchange(stream).await });
    }
}

struct Desk {
    registry: Arc<InProcessRegistry>,
    history: Arc<History>,
    mode: Mode,
}

impl Desk {
    async fn glance(self: Arc<Self>) {
        loop {
            self.state().await;
            sleep(GLANCE).await;
        }
    }

    async fn state(&self) {
        self.history.registry_says(there(self.registry.workers().await));
    }

    async fn exchange(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let answer = self.answer(serde_json::from_str(&line)?).await;
        stream.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
        stream.shutdown().await
    }

    async fn answer(&self, question: Question) -> Answer {
        let Self { registry, history, mode } = self;
        match question {
            Question::Restore(record, held) => {
                history.knows_of_draining(&record.worker_id, false);
                there(registry.restore(record, held).await);
            }
            Question::Heartbeat(worker) => {
                return Answer::Counted(there(registry.heartbeat(&worker).await) == Heartbeat::Counted);
            }
            Question::Deregister(worker) => there(registry.deregister(&worker).await),
            Question::Drain(worker) => {
                history.knows_of_draining(&worker, true);
                if !mode.is_broken(Sabotage::DeafToDraining) {
                    there(registry.drain(&worker).await);
                }
            }
            Question::Suspect(worker, cool_down) => there(registry.suspect(&worker, cool_down).await),
            Question::Reserve { lease, language, model, ttl, exclude } => {
                let request = ReserveRequest { lease, wanted: Wanted { language, model }, ttl, exclude };
                let reserved = if mode.is_broken(Sabotage::ReadThenWrite) {
                    self.read_then_write(&request).await
                } else {
                    registry.reserve(&request).await
                };
                if let Ok(Reservation { worker_id, .. }) = &reserved {
                    history.is_chosen(worker_id);
                }
                self.state().await;
                return reserved.into();
            }
            Question::Renew(_) if mode.is_broken(Sabotage::NoRenewals) => {}
            Question::Renew(leases) => {
                let named = |(id, worker_id, ttl)| Lease { id, worker_id, ttl };
                there(registry.renew(&leases.into_iter().map(named).collect::<Vec<_>>()).await);
            }
            Question::Release(lease) => there(registry.release(&lease).await),
        }
        Answer::Done
    }

    /// What the real one must not do: between its look and its choice others may choose the same slot.
    async fn read_then_write(&self, request: &ReserveRequest) -> Result<Reservation, ReserveError> {
        let stated = there(self.registry.workers().await);
        let free =
            stated.into_iter().filter(|status| status.free() > 0 && !request.exclude.contains(&status.worker_id));
        let chosen = free.min_by_key(|status| status.used);
        let chosen = chosen.ok_or(ReserveError::NoCapacity { retry_after: PATIENCE })?;
        sleep(Duration::from_millis(20)).await;
        let (worker_id, name) = (chosen.worker_id.clone(), self.history.name(&chosen.worker_id));
        let record = crate::worker::record(worker_id.clone(), &name);
        let (address, engine_id) = (record.address.clone(), record.engines[0].engine_id.clone());
        there(self.registry.restore(record, vec![request.lease.clone()]).await);
        let language = request.wanted.language.clone();
        Ok(Reservation { worker_id, address, engine_id, language, candidates: 1 })
    }
}

/// What one process cannot fail to give.
fn there<T>(result: Result<T, Unavailable>) -> T {
    result.expect("in one process it is always there")
}

/// The way to it, from any host.
#[derive(Debug)]
pub struct FarRegistry {
    patience: Duration,
}

impl FarRegistry {
    pub fn new(mode: Mode) -> Self {
        let forever = Duration::from_secs(3_600);
        Self { patience: if mode.is_broken(Sabotage::Patience) { forever } else { PATIENCE } }
    }

    async fn ask(&self, question: Question) -> Result<Answer, Unavailable> {
        let exchange = async {
            let mut stream = BufReader::new(TcpStream::connect((Host::Registry.name(), PORT)).await?);
            stream.write_all(format!("{}\n", serde_json::to_string(&question)?).as_bytes()).await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            Ok::<_, std::io::Error>(serde_json::from_str(&line)?)
        };
        let answer = timeout(self.patience, exchange).await.map_err(|_| Unavailable("no answer".into()))?;
        answer.map_err(|error| Unavailable(error.to_string()))
    }

    fn tell(&self, question: Question) -> BoxFuture<'_, Result<(), Unavailable>> {
        async move { self.ask(question).await.map(|_| ()) }.boxed()
    }
}

impl Registry for FarRegistry {
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.tell(Question::Restore(worker, held))
    }

    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>> {
        async move {
            match self.ask(Question::Heartbeat(worker.clone())).await? {
                Answer::Counted(true) => Ok(Heartbeat::Counted),
                Answer::Counted(false) => Ok(Heartbeat::Unknown),
                other => Err(nonsense(&other)),
            }
        }
        .boxed()
    }

    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.tell(Question::Deregister(worker.clone()))
    }

    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.tell(Question::Drain(worker.clone()))
    }

    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.tell(Question::Suspect(worker.clone(), cool_down))
    }

    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>> {
        async move {
            let answer = self.ask(request.into()).await?;
            answer.into_reservation().unwrap_or_else(|| Err(Unavailable("nonsense".into()).into()))
        }
        .boxed()
    }

    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>> {
        let named = |lease: &Lease| (lease.id.clone(), lease.worker_id.clone(), lease.ttl);
        self.tell(Question::Renew(leases.iter().map(named).collect()))
    }

    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.tell(Question::Release(lease.clone()))
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>> {
        // The history looks at the registry itself, and a session asks for one worker, not for all.
        async { Err(Unavailable("nobody of the simulation asks for all workers".into())) }.boxed()
    }
}

fn nonsense(answer: &Answer) -> Unavailable {
    Unavailable(format!("an answer to another question: {answer:?}"))
}
