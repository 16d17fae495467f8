//! The loop that gives an engine its tasks.

use std::{sync::Arc, time::Duration};

use dalston_broker::{Broker, Delivery};
use dalston_engine_sdk::batch::Engine;
use dalston_store::{Artifacts, JobStore, engine_queue};
use dalston_telemetry::{Metrics, Tracers};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    RunnerError, RunnerSettings,
    scratch::Scratch,
    slots::{Slot, Slots},
    station::{Shared, Station},
    thread::Threads,
    under_way::UnderWay,
};

/// How long one claim waits. It is woken by a message; this only bounds what a broker must keep open.
const CLAIM_WAIT: Duration = Duration::from_secs(20);

/// Gives one engine its tasks, out of the queue that bears its name.
pub struct Runner {
    engine: Arc<dyn Engine>,
    store: JobStore,
    artifacts: Artifacts,
    broker: Arc<dyn Broker>,
    tracers: Tracers,
    metrics: Arc<Metrics>,
    settings: RunnerSettings,
}

impl Runner {
    /// A runner of `engine`. Several may run the same engine, here and elsewhere, if each has a name of its own.
    pub fn new(
        engine: Arc<dyn Engine>,
        store: JobStore,
        artifacts: Artifacts,
        broker: Arc<dyn Broker>,
        tracers: Tracers,
        metrics: Arc<Metrics>,
        settings: RunnerSettings,
    ) -> Self {
        Self { engine, store, artifacts, broker, tracers, metrics, settings }
    }

    /// Runs until `shutdown`. Then nothing is claimed any more; what is under way may go on for the drain time, and is
    /// stopped and given back after that. Returns when nothing is left, but for threads that do not.
    ///
    /// Dropping the future is like a crash: engines are told to stop, and messages come again when their leases end.
    ///
    /// # Errors
    /// When the folder of the runner cannot be made. Nothing was claimed then.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunnerError> {
        let station = self.open().await?;
        let mut attempts = JoinSet::new();
        while let Some((delivery, slot)) = next(&station, &shutdown).await {
            attempts.spawn(station.clone().handle(delivery, slot));
            while let Some(ended) = attempts.try_join_next() {
                watch(ended);
            }
        }
        drain(&station, attempts).await;
        Ok(())
    }

    async fn open(self) -> Result<Station, RunnerError> {
        let Self { engine, store, artifacts, broker, tracers, metrics, settings } = self;
        let info = engine.info();
        let scratch = Scratch::open(&settings.scratch).await?;
        let threads = Threads::new(format!("engine-{}", info.engine_id), info.concurrency);
        let slots = Slots::new(info.concurrency, settings.max_stuck);
        let under_way = UnderWay::default();
        let halt = CancellationToken::new();
        Ok(Station::new(Shared {
            engine,
            info,
            store,
            artifacts,
            broker,
            tracers,
            metrics,
            settings,
            scratch,
            slots,
            threads,
            under_way,
            halt,
        }))
    }
}

/// The next message, and a place to work on it; `None` at shutdown. A message is claimed only when there is a place for
/// it.
async fn next(station: &Station, shutdown: &CancellationToken) -> Option<(Delivery, Slot)> {
    let queues = [engine_queue(&station.info.engine_id)];
    let claim = async {
        let slot = station.slots.free().await;
        loop {
            let settings = &station.settings;
            match station.broker.claim(&queues, &settings.name, settings.lease, CLAIM_WAIT).await {
                Ok(Some(delivery)) => return (delivery, slot),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "no task could be claimed");
                    station.pause().await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(claim).await
}

async fn drain(station: &Station, mut attempts: JoinSet<()>) {
    let rest = async |attempts: &mut JoinSet<()>| {
        while let Some(ended) = attempts.join_next().await {
            watch(ended);
        }
    };
    if timeout(station.settings.drain, rest(&mut attempts)).await.is_err() {
        tracing::info!(tasks = attempts.len(), "tasks are stopped and given back");
        station.halt.cancel();
        // Bounded: each waits for its engine at most for the time of grace, and for store and broker as long as these
        // take.
        rest(&mut attempts).await;
    }
}

fn watch(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The panic itself was logged where it happened, and the message comes again when its lease ends.
        tracing::error!(is_panic = error.is_panic(), "the handling of a message broke off");
    }
}
