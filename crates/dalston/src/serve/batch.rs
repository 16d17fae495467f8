//! The batch side of the server: jobs in a database and a folder, their orchestrator and their engines in this process.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use dalston_broker::{Broker, InProcessBroker};
use dalston_egress::Client;
use dalston_engine_diarize::Diarize;
use dalston_engine_prepare::{Limits, Prepare};
use dalston_engine_runner::{Runner, RunnerSettings};
use dalston_engine_sdk::batch;
use dalston_gateway::Jobs;
use dalston_orchestrator::{Orchestrator, Settings, WebhookSettings};
use dalston_protocol::JobId;
use dalston_store::{Artifacts, JobStore, job_folder};
use dalston_telemetry::{Metrics, tracers};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Problem};

/// Jobs, kept and done.
pub struct Batch {
    /// What the gateway serves.
    pub jobs: Jobs,
    /// Fetches what `audio_url` names, and tells webhooks.
    pub client: Client,
    /// The orchestrator and a runner for each engine.
    tasks: JoinSet<Result<()>>,
    stop: CancellationToken,
}

/// Jobs as they are kept, before anything is done about them.
pub struct Kept {
    store: JobStore,
    artifacts: Artifacts,
    client: Client,
}

impl Kept {
    /// Opens what is kept, so that what is wrong with it is known before an address is taken.
    ///
    /// # Errors
    /// When the database or the folder cannot be used.
    pub async fn open(config: &Config) -> Result<Self> {
        let database = config.data_dir.join("jobs.db");
        let store = JobStore::open(&format!("sqlite:{}", database.display())).await;
        let store = store.with_context(|| format!("cannot keep jobs in {}", database.display()))?;
        let folder = config.data_dir.join("artifacts");
        // The archive has locked the data folder: no other server writes there.
        let artifacts =
            Artifacts::local_alone(&folder).with_context(|| format!("cannot keep files in {}", folder.display()))?;
        let client = Client::new(config.settings.egress(), tracers().clone())
            .map_err(|error| Problem::new(config.layers.place_of("egress.ca_file"), error.to_string()))
            .map_err(|problem| ConfigError(vec![problem]))?;
        Ok(Self { store, artifacts, client })
    }
}

impl Batch {
    /// Begins to work on what is open.
    pub fn start(
        kept: Kept,
        config: &Config,
        recognisers: Vec<Arc<dyn batch::Engine>>,
        metrics: &Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        let Kept { store, artifacts, client } = kept;
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::default());
        let engines = engines(recognisers);
        let infos: Vec<batch::EngineInfo> = engines.iter().map(|engine| engine.info()).collect();
        let catalogue = batch::Catalogue::from(infos);
        let mut tasks = JoinSet::new();
        let orchestrator = Orchestrator::new(
            store.clone(),
            artifacts.clone(),
            broker.clone(),
            catalogue.clone(),
            tracers().clone(),
            metrics.clone(),
            // The database is this process's own.
            Settings { alone: true, ..Settings::default() },
        )
        .with_webhooks(client.clone(), WebhookSettings::default());
        let stopped = stop.clone();
        tasks.spawn(async {
            orchestrator.run(stopped).await;
            Ok(())
        });
        for engine in engines {
            let name = engine.info().engine_id;
            let settings = RunnerSettings {
                drain: Duration::from_secs(10),
                grace: Duration::from_secs(5),
                ..RunnerSettings::new(config.data_dir.join("scratch").join(&name))
            };
            let (store, artifacts, broker) = (store.clone(), artifacts.clone(), broker.clone());
            let runner = Runner::new(engine, store, artifacts, broker, tracers().clone(), metrics.clone(), settings);
            let stopped = stop.clone();
            tasks.spawn(async move { runner.run(stopped).await.with_context(|| format!("the runner of {name}")) });
        }
        // Whoever uploads from now on has a later id.
        tasks.spawn(clear(store.clone(), artifacts.clone(), JobId::generate(), stop.clone()));
        let jobs = Jobs { store, artifacts, broker, engines: catalogue, settings: config.settings.jobs() };
        Self { jobs, client, tasks, stop }
    }

    /// Waits until it has ended, which it begins to do at shutdown: no task is claimed any more, and what runs may go on for
    /// a while. What is not done by then is taken up again at the next start.
    pub async fn ended(mut self) {
        /// What the engines have to stop, and a little more for what they leave.
        const LONGEST: Duration = Duration::from_secs(20);
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended.map_err(anyhow::Error::from).flatten() {
                    tracing::error!(error = format!("{error:#}"), "a part of the batch side ended badly");
                }
            }
        };
        if timeout(LONGEST, all).await.is_err() {
            tracing::warn!("tasks did not end in time; they are taken up again at the next start");
        }
        self.jobs.store.close().await;
    }
}

/// Removes what was stored for jobs before this one and never became a job: its server was killed between the two.
async fn clear(store: JobStore, artifacts: Artifacts, before: JobId, stop: CancellationToken) -> Result<()> {
    let orphans = async {
        for name in artifacts.names("jobs").await? {
            let Ok(id) = name.parse::<JobId>() else { continue };
            if id < before && store.load(&id).await?.is_none() {
                artifacts.remove(&job_folder(&id)).await?;
                tracing::info!(job_id = %id, "an upload that never became a job was removed");
            }
        }
        Ok(())
    };
    stop.run_until_cancelled(orphans).await.unwrap_or(Ok(()))
}

/// The engines of the pipeline. Of those that do the same stage the first comes first, so what was asked for goes before what
/// is always there.
fn engines(asked_for: Vec<Arc<dyn batch::Engine>>) -> Vec<Arc<dyn batch::Engine>> {
    let prepare: Arc<dyn batch::Engine> = Arc::new(Prepare::new(Limits::default()));
    std::iter::once(prepare).chain(asked_for).chain([Arc::new(Diarize) as _]).collect()
}
