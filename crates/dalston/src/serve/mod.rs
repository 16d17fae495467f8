//! `dalston serve`: the whole server in one process.

mod address_book;
pub mod engine;
pub mod limits;
mod signals;

use std::{
    io,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use dalston_gateway::{Deps, Gateway};
use dalston_realtime::Worker;
use dalston_session_router::{
    Address, InProcessRegistry, Membership, Registry, RegistryTimes, RouterSettings, SessionRouter, link,
};
use dalston_store::{Archive, Limits};
use dalston_telemetry::{Metrics, Telemetry, tracers};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::address_book::AddressBook;
use crate::{
    cli::ServeArgs,
    config::{self, Config},
};

/// Runs a server until it is told to stop.
pub fn run(args: &ServeArgs) -> Result<ExitCode> {
    let config = config::load(args.config.as_deref(), config::environment(), &args.flags())?;
    if args.dump_config {
        print!("{}", config::dump(&config.layers));
        return Ok(ExitCode::SUCCESS);
    }
    let telemetry = Telemetry::init(&config.telemetry)?;
    let open_files = limits::raise_open_files();
    if open_files < config.settings.max_sessions.get() as u64 {
        tracing::warn!(
            event = "few_descriptors",
            open_files,
            "fewer files may be open than sessions; see `dalston doctor`"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(serve(config))?;
    // What still runs is nobody's any more; the spans of what has ended are delivered last.
    runtime.shutdown_background();
    telemetry.shutdown();
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<()> {
    let listener = bind(&config).await?;
    let address = listener.local_addr()?;
    let metrics = Arc::new(Metrics::new());
    let engine = engine::start(&config.settings, &metrics).await?;
    let capabilities = engine.streaming.capabilities().clone();

    let registry: Arc<dyn Registry> = Arc::new(InProcessRegistry::new(RegistryTimes::default()));
    let router = SessionRouter::new(registry.clone(), RouterSettings::default(), tracers().clone(), metrics.clone());
    let router = Arc::new(router);

    let shutdown = signals::first()?;
    let archive = Archive::open(config.data_dir.join("sessions"), Limits::default()).await?;
    let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweep(archive.clone())));
    let worker = Worker::new(
        config.realtime.clone(),
        vec![engine.streaming.clone()],
        metrics.clone(),
        tracers().clone(),
        Some(archive.clone()),
    );
    let worker = start_worker(worker, &registry, &router, shutdown.clone()).await?;

    let deps = Deps { router, tracers: tracers().clone(), metrics };
    let gateway = Gateway::new(config.gateway.clone(), deps)?.with_archive(archive.clone());
    AddressBook { address, capabilities: &capabilities, config: &config }.print()?;
    gateway.serve(listener, shutdown.cancelled()).await?;
    worker.await.context("the realtime worker ended badly")?;
    engine.shutdown().await;
    archive.close().await.context("not every kept session reached the disk")
}

/// Removes what has been kept long enough.
async fn sweep(archive: Archive) {
    const EVERY: Duration = Duration::from_secs(300);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        match archive.sweep(SystemTime::now()).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "expired sessions were removed"),
            Err(error) => tracing::warn!(%error, "expired sessions cannot be removed now"),
        }
    }
}

async fn bind(config: &Config) -> Result<TcpListener> {
    let address = config.settings.bind;
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is in use; end what listens there, or choose another with --bind (port 0 takes a free one)"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

/// Puts a worker of this process where the router finds it.
async fn start_worker(
    worker: Worker,
    registry: &Arc<dyn Registry>,
    router: &SessionRouter,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>> {
    /// Well within what the registry waits for.
    const HEARTBEAT: Duration = Duration::from_secs(2);
    let (link, port) = link::in_process();
    let record = worker.record(Address::InProcess);
    router.links().insert(record.worker_id.clone(), Arc::new(link));
    let membership = Membership::join(registry.clone(), record, HEARTBEAT).await?;
    Ok(tokio::spawn(worker.run(port, membership, shutdown)))
}
