//! Where an engine works: all that its attempts share.

use std::sync::Arc;

use dalston_broker::{Broker, Claim};
use dalston_engine_sdk::batch::{Engine, EngineInfo};
use dalston_protocol::JobId;
use dalston_store::{Artifacts, JobStore, job_topic};
use dalston_telemetry::{Metrics, Tracers};
use tokio_util::sync::CancellationToken;

use crate::{scratch::Scratch, settings::RunnerSettings, slots::Slots, thread::Threads, under_way::UnderWay};

#[derive(Clone)]
pub(crate) struct Station(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) info: EngineInfo,
    pub(crate) store: JobStore,
    pub(crate) artifacts: Artifacts,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) tracers: Tracers,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: RunnerSettings,
    pub(crate) scratch: Scratch,
    pub(crate) slots: Slots,
    pub(crate) threads: Threads,
    pub(crate) under_way: UnderWay,
    /// Tells attempts to end.
    pub(crate) halt: CancellationToken,
}

impl Station {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Tells who watches the job that something is new.
    pub(crate) async fn notify(&self, job: &JobId) {
        if let Err(error) = self.broker.notify(&job_topic(job)).await {
            // It may be lost by its contract.
            tracing::debug!(%error, "nobody was woken");
        }
    }

    /// The store has no need of the message any more.
    pub(crate) async fn acknowledge(&self, claim: &Claim) {
        match self.broker.acknowledge(claim).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(message = claim.id, "the message was another's by now"),
            // It comes again, and is found to be stale.
            Err(error) => tracing::warn!(%error, "a message could not be acknowledged"),
        }
    }

    /// Somebody else may have the message at once.
    pub(crate) async fn release(&self, claim: &Claim) {
        match self.broker.release(claim).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!(message = claim.id, "the message was another's by now"),
            // It comes again when its lease has ended.
            Err(error) => tracing::warn!(%error, "a message could not be given back"),
        }
    }

    /// Nothing is tried for a while: the store or the broker does not answer.
    pub(crate) async fn pause(&self) {
        tokio::select! {
            () = tokio::time::sleep(self.settings.pause) => {}
            () = self.halt.cancelled() => {}
        }
    }
}

impl std::ops::Deref for Station {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
