//! The tasks of an orchestrator, and what they share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use dalston_broker::{Broker, BrokerError};
use dalston_egress::Client;
use dalston_engine_sdk::batch::Catalogue;
use dalston_store::{StoreError, artifacts::Artifacts, jobs::JobStore};
use dalston_telemetry::{Metrics, Tracers};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::WebhookSettings;

/// How an orchestrator works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Looks at jobs at once: 4. They wait for the store, hardly ever for a processor.
    pub looks: usize,
    /// How long a look may take before another orchestrator takes it over: 30 s.
    pub lease: Duration,
    /// An open job that nothing happened to for so long is looked at in case a message was lost: 30 s.
    pub idle: Duration,
    /// How often such jobs are looked for: 10 s.
    pub reconcile: Duration,
    /// How often expired jobs are removed: a minute.
    pub sweep: Duration,
    /// How often artifacts are looked for that belong to no job: six hours.
    pub tidy: Duration,
    /// No other process runs tasks of this store: what runs when this one starts has lost its runner.
    pub alone: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            looks: 4,
            lease: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            reconcile: Duration::from_secs(10),
            sweep: Duration::from_secs(60),
            tidy: Duration::from_secs(6 * 3600),
            alone: false,
        }
    }
}

/// What a look at a job can fail of.
#[derive(Debug, thiserror::Error)]
pub enum OrchestratorError {
    /// The store or the artifacts.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A result that is not what its stage gives.
    #[error("result of {node}: {reason}")]
    BadResult {
        /// Whose.
        node: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl OrchestratorError {
    /// Whether looking again would find the same.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::BadResult { .. } | Self::Store(StoreError::NoArtifact { .. }))
    }

    /// Whether what failed for one job would fail for the next one, too.
    pub(crate) fn concerns_all(&self) -> bool {
        use StoreError::{Full, NoBucket, Unavailable, Unreachable};
        let of_store =
            |error: &StoreError| matches!(error, Full { .. } | NoBucket { .. } | Unavailable(_) | Unreachable { .. });
        match self {
            Self::Store(error) => of_store(error),
            Self::Broker(_) => true,
            Self::BadResult { .. } => false,
        }
    }
}

/// Sees every job through. Cheap to clone.
#[derive(Clone)]
pub struct Orchestrator {
    pub(crate) store: JobStore,
    pub(crate) artifacts: Artifacts,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) engines: Catalogue,
    pub(crate) tracers: Tracers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// The relay was refused for want of room when it last had something to publish.
    pub(crate) broker_is_full: Arc<AtomicBool>,
    /// How webhooks are told, if they are.
    pub(crate) webhooks: Option<(Client, Arc<WebhookSettings>)>,
}

impl Orchestrator {
    /// An orchestrator over these.
    pub fn new(
        store: JobStore,
        artifacts: Artifacts,
        broker: Arc<dyn Broker>,
        engines: impl Into<Catalogue>,
        tracers: Tracers,
        metrics: Arc<Metrics>,
        settings: Settings,
    ) -> Self {
        let (engines, broker_is_full) = (engines.into(), Arc::default());
        Self { store, artifacts, broker, engines, tracers, metrics, settings, broker_is_full, webhooks: None }
    }

    /// Tells webhooks of jobs' ends.
    #[must_use]
    pub fn with_webhooks(self, client: Client, settings: WebhookSettings) -> Self {
        Self { webhooks: Some((client, Arc::new(settings))), ..self }
    }

    /// Works until it is told to stop, then finishes the looks that have begun.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().relay(shutdown.clone()));
        for number in 0..self.settings.looks {
            tasks.spawn(self.clone().looks(format!("orchestrator-{}-{number}", std::process::id()), shutdown.clone()));
        }
        tasks.spawn(self.clone().reconcile(shutdown.clone()));
        tasks.spawn(self.clone().sweep(shutdown.clone()));
        tasks.spawn(self.clone().tidy(shutdown.clone()));
        if let Some((client, settings)) = self.webhooks.clone() {
            tasks.spawn(self.clone().tell_webhooks(client, settings, shutdown.clone()));
        }
        tasks.spawn(self.watch_queues(shutdown));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                // It would have been logged by the panic hook; the others go on.
                tracing::error!(%error, "a task of the orchestrator ended badly");
            }
        }
    }
}
