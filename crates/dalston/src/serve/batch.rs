//! What a process does about jobs: plans them, does their stages, or both.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use dalston_egress::Client;
use dalston_engine_diarize::Diarize;
use dalston_engine_prepare::{Limits, Prepare};
use dalston_engine_runner::{Runner, RunnerSettings};
use dalston_engine_sdk::batch;
use dalston_orchestrator::{Orchestrator, Settings, WebhookSettings};
use dalston_protocol::JobId;
use dalston_store::{Artifacts, JobStore, job_folder};
use dalston_telemetry::{Metrics, tracers};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::{self, Announcer},
    engine::Engines,
    site::{Kept, Site},
};
use crate::config::{Config, Role};

/// The tasks that work on jobs. Dropped, they are cut.
pub struct Work {
    kept: Kept,
    metrics: Arc<Metrics>,
    tasks: JoinSet<Result<()>>,
    stop: CancellationToken,
}

impl Work {
    /// Nothing yet. What is added begins at once, and ends when `stop` is cancelled.
    pub fn on(kept: Kept, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        Self { kept, metrics, tasks: JoinSet::new(), stop }
    }

    /// Begins what this process does about jobs. `known` is filled with the engines that there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start(
        mut self,
        config: &Config,
        site: &Site,
        recognisers: Option<&Engines>,
        known: &batch::Catalogue,
    ) -> Result<Self> {
        let settings = &config.settings;
        let mut own = Vec::new();
        if settings.role.has(Role::Engine) {
            own = engines(recognisers.map(Engines::batch).unwrap_or_default());
            own.retain(|engine| settings.stages.is_empty() || settings.stages.contains(&engine.info().stage));
        }
        let infos: Vec<batch::EngineInfo> = own.iter().map(|engine| engine.info()).collect();
        if settings.role.is_all() && settings.redis.is_none() {
            known.replace(infos);
        } else {
            let announcer = Announcer::of(&infos);
            announcer.tell(&self.kept.store).await.context("engines cannot be announced")?;
            catalogue::read(&self.kept.store, known).await.context("the engines there are cannot be read")?;
            self.add(announcer.keep(self.kept.store.clone(), self.stop.clone()));
            self.add(catalogue::follow(self.kept.store.clone(), known.clone(), self.stop.clone()));
        }
        if settings.role.has(Role::Orchestrator) {
            self.orchestrate(known.clone(), site.client.clone(), settings.webhooks(), site.is_alone);
        }
        self.run(own, &config.data_dir.join("scratch"));
        if site.is_alone {
            self.clear();
        }
        Ok(self)
    }

    /// Sees jobs through with these engines, and tells webhooks.
    fn orchestrate(&mut self, engines: batch::Catalogue, client: Client, webhooks: WebhookSettings, is_alone: bool) {
        let Kept { store, artifacts, broker } = self.kept.clone();
        let settings = Settings { alone: is_alone, ..Settings::default() };
        let (tracers, metrics) = (tracers().clone(), self.metrics.clone());
        let orchestrator = Orchestrator::new(store, artifacts, broker, engines, tracers, metrics, settings);
        let orchestrator = orchestrator.with_webhooks(client, webhooks);
        self.add(orchestrator.run(self.stop.clone()));
    }

    /// Does the stages of these engines, each with a folder of its own below `scratch`.
    fn run(&mut self, engines: Vec<Arc<dyn batch::Engine>>, scratch: &Path) {
        for engine in engines {
            let name = engine.info().engine_id;
            let settings = RunnerSettings {
                drain: Duration::from_secs(10),
                grace: Duration::from_secs(5),
                ..RunnerSettings::new(scratch.join(&name))
            };
            let Kept { store, artifacts, broker } = self.kept.clone();
            let (tracers, metrics) = (tracers().clone(), self.metrics.clone());
            let runner = Runner::new(engine, store, artifacts, broker, tracers, metrics, settings);
            let stop = self.stop.clone();
            self.tasks.spawn(async move { runner.run(stop).await.with_context(|| format!("the runner of {name}")) });
        }
    }

    /// Removes what earlier servers left behind. Nobody else may be uploading here: whoever uploads from now on has a later id.
    fn clear(&mut self) {
        let Kept { store, artifacts, .. } = self.kept.clone();
        self.tasks.spawn(clear(store, artifacts, JobId::generate(), self.stop.clone()));
    }

    fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async {
            task.await;
            Ok(())
        });
    }

    /// Waits until it has ended, which it begins to do at shutdown: no task is claimed any more, and what runs may go on for
    /// a while. What is not done by then is taken up again at the next start, or by another process.
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
            tracing::warn!("tasks did not end in time; they are taken up again later");
        }
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
