//! How the parts of a server know which engines there are, where those run in other processes: who runs them says so in the
//! store every few seconds, who plans with them reads it.

use std::time::{Duration, SystemTime};

use dalston_engine_sdk::batch::{Catalogue, EngineInfo};
use dalston_orchestrator::{ENGINES_KNOWN, read_engines};
use dalston_protocol::WorkerId;
use dalston_store::{AnnouncedEngine, JobStore, StoreError};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often engines are announced, and announcements read.
const EVERY: Duration = Duration::from_secs(3);

/// Tells which engines this process runs.
pub struct Announcer {
    /// Names the process: a new one with each start.
    runner: WorkerId,
    engines: Vec<AnnouncedEngine>,
}

impl Announcer {
    /// Of these engines, preferred first.
    pub fn of(engines: &[EngineInfo]) -> Self {
        Self { runner: WorkerId::generate(), engines: engines.iter().map(announcement).collect() }
    }

    /// Tells it once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tell(&self, store: &JobStore) -> Result<(), StoreError> {
        store.announce(self.runner.as_str(), &self.engines, SystemTime::now() - ENGINES_KNOWN).await
    }

    /// Tells it until it is told to stop.
    pub async fn keep(self, store: JobStore, stop: CancellationToken) {
        let mut turns = Turns::until(stop);
        while turns.next().await {
            if let Err(error) = self.tell(&store).await {
                tracing::warn!(%error, "engines cannot be announced now");
            }
        }
    }
}

/// Keeps a catalogue as the announcements are.
pub async fn follow(store: JobStore, catalogue: Catalogue, stop: CancellationToken) {
    let mut turns = Turns::until(stop);
    while turns.next().await {
        if let Err(error) = read(&store, &catalogue).await {
            tracing::warn!(%error, "announcements of engines cannot be read now; those that are known stay");
        }
    }
}

/// Reads the announcements once.
///
/// # Errors
/// When the database fails; the catalogue stays as it was.
pub async fn read(store: &JobStore, catalogue: &Catalogue) -> Result<(), StoreError> {
    if read_engines(store, catalogue).await? {
        let ids: Vec<String> = catalogue.now().iter().map(|engine| engine.engine_id.clone()).collect();
        tracing::info!(engines = ids.join(","), "the engines for jobs are others now");
    }
    Ok(())
}

/// Comes round every few seconds.
struct Turns {
    ticks: Interval,
    stop: CancellationToken,
}

impl Turns {
    fn until(stop: CancellationToken) -> Self {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// `false`: told to stop.
    async fn next(&mut self) -> bool {
        self.stop.run_until_cancelled(self.ticks.tick()).await.is_some()
    }
}

fn announcement(engine: &EngineInfo) -> AnnouncedEngine {
    let info = serde_json::to_string(engine).expect("what an engine is, is plain data");
    AnnouncedEngine { engine_id: engine.engine_id.clone(), info }
}
