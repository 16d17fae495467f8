//! The realtime worker of a server: where gateways find it, and how it ends.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use dalston_realtime::Worker;
use dalston_session_router::{
    Address, Membership, Registry, SessionRouter,
    link::{self, ServerSettings, WorkerServer},
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::site::Site;
use crate::config::Settings;

/// Well within what the registry waits for.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Time for what sessions have said last to reach the gateways.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A worker that takes sessions.
pub struct Live {
    running: JoinHandle<()>,
    server: Option<WorkerServer>,
}

impl Live {
    /// Takes sessions until `shutdown`: of all gateways where the site is shared, else of this process's own.
    ///
    /// # Errors
    /// When an address is not to be had, or the registry does not answer.
    pub async fn start(
        worker: Worker,
        site: &Site,
        router: Option<&SessionRouter>,
        settings: &Settings,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let registry = site.registry.clone();
        match router {
            Some(router) if settings.redis.is_none() => Self::here(worker, registry, router, shutdown).await,
            _ => Self::listening(worker, registry, server_settings(settings)?, shutdown).await,
        }
    }

    /// Puts the worker where the router of this process finds it, and nobody else.
    async fn here(
        worker: Worker,
        registry: Arc<dyn Registry>,
        router: &SessionRouter,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let (link, port) = link::in_process();
        let record = worker.record(Address::InProcess);
        router.links().insert(record.worker_id.clone(), Arc::new(link));
        let membership = Membership::join(registry, record, HEARTBEAT).await?;
        Ok(Self { running: tokio::spawn(worker.run(port, membership, shutdown)), server: None })
    }

    /// Listens for gateways, and tells the registry where.
    async fn listening(
        worker: Worker,
        registry: Arc<dyn Registry>,
        settings: ServerSettings,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let (server, port) = WorkerServer::listen(settings).context("cannot listen for gateways")?;
        let membership = Membership::join(registry, worker.record(server.address()), HEARTBEAT).await?;
        tracing::info!(address = ?server.address(), "gateways reach this worker there");
        Ok(Self { running: tokio::spawn(worker.run(port, membership, shutdown)), server: Some(server) })
    }

    /// Waits so long for its sessions to end, which they do at shutdown. `false`: some have not.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn ended(mut self, patience: Duration) -> Result<bool> {
        let Ok(ended) = timeout(patience, &mut self.running).await else { return Ok(false) };
        if let Some(server) = self.server {
            server.close(LAST_WORDS).await;
        }
        ended.context("the realtime worker ended badly").map(|()| true)
    }
}

/// How the worker is reached by gateways of other processes.
fn server_settings(settings: &Settings) -> Result<ServerSettings> {
    // The configuration is refused without one.
    let secret = settings.cluster_secret.clone().context("a realtime worker needs cluster.secret")?;
    let advertise = settings.worker_url.as_ref().map(|url| url.0.clone());
    Ok(ServerSettings { advertise, ..ServerSettings::new(settings.worker_bind, secret, settings.max_sessions.get()) })
}
