//! `dalston serve`: the whole server in one process.

mod address_book;
mod batch;
pub mod engine;
pub mod limits;
mod signals;

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use dalston_gateway::{Deps, Gateway};
use dalston_realtime::Worker;
use dalston_session_router::{
    Address, InProcessRegistry, Membership, Registry, RegistryTimes, RouterSettings, SessionRouter, link,
};
use dalston_store::{Archive, Limits};
use dalston_telemetry::{Metrics, Telemetry, tracers};
use tokio::{net::TcpSocket, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    address_book::AddressBook,
    batch::{Batch, Kept},
    engine::Engines,
};
use crate::{
    cli::ServeArgs,
    config::{self, Config, ConfigError, Problem},
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

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;
/// Time for a worker whose sessions have ended to end itself, and for the archive when a session was cut.
const LAST_WRITES: Duration = Duration::from_millis(500);

/// The order of the end: the gateway drains, then the workers go, then the engines. A worker that went first would close its
/// sessions before they had been read to their end.
async fn serve(config: Config) -> Result<()> {
    let shutdown = signals::first()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    let metrics = Arc::new(Metrics::new());
    let started = tokio::select! {
        biased;
        () = shutdown.cancelled() => {
            tracing::info!("told to end before it was ready");
            return Ok(());
        }
        started = Started::all(&config, &metrics) => started?,
    };
    let Started { archive, kept, socket, engines } = started;
    let listener = socket.listen(BACKLOG).map_err(|error| not_listening(config.settings.bind, error))?;
    let address = listener.local_addr()?;
    let streaming = engines.streaming();
    let capabilities: Vec<_> = streaming.iter().map(|engine| engine.capabilities().clone()).collect();

    let registry = Arc::new(InProcessRegistry::new(RegistryTimes::default()));
    let _noticing = AbortOnDropHandle::new(tokio::spawn(registry.clone().notice_standstills()));
    let registry: Arc<dyn Registry> = registry;
    let router = SessionRouter::new(registry.clone(), RouterSettings::default(), tracers().clone(), metrics.clone());
    let router = Arc::new(router);

    let _sweeping = AbortOnDropHandle::new(tokio::spawn(sweep(archive.clone())));
    let worker =
        Worker::new(config.realtime.clone(), streaming, metrics.clone(), tracers().clone(), Some(archive.clone()));
    let sessions_over = CancellationToken::new();
    let mut worker = start_worker(worker, &registry, &router, sessions_over.clone()).await?;

    let batch = Batch::start(kept, &config, engines.batch(), &metrics, shutdown.child_token());

    let deps = Deps { router, tracers: tracers().clone(), metrics };
    let gateway = Gateway::new(config.gateway.clone(), deps)?.with_archive(archive.clone());
    let gateway = gateway.with_jobs(batch.jobs.clone())?.with_egress(batch.client.clone());
    AddressBook { address, capabilities: &capabilities, config: &config }.print()?;
    gateway.serve(listener, shutdown.cancelled()).await?;
    sessions_over.cancel();
    let Ok(ended) = timeout(LAST_WRITES, &mut worker).await else {
        // Their clients have been closed; what they still wait for has had its time. They end with the process.
        tracing::warn!("sessions of the realtime worker did not end in time and are cut");
        // What is to be kept of the others is with the disk already, or as good as.
        let _ = timeout(LAST_WRITES, archive.close()).await;
        batch.ended().await;
        return Ok(());
    };
    batch.ended().await;
    ended.context("the realtime worker ended badly")?;
    engines.shutdown().await;
    archive.close().await.context("not every kept session reached the disk")
}

/// What can be wrong, or take long, before the server serves.
struct Started {
    archive: Archive,
    kept: Kept,
    socket: TcpSocket,
    engines: Engines,
}

impl Started {
    /// In the order of what it costs to find out: what the configuration names, the address, the engines themselves.
    async fn all(config: &Config, metrics: &Arc<Metrics>) -> Result<Self> {
        engine::look(&config.settings)?;
        let archive = open_archive(config).await?;
        let kept = Kept::open(config).await?;
        let socket = bind(config.settings.bind).map_err(|error| not_listening(config.settings.bind, error))?;
        let engines = Engines::start(&config.settings, metrics).await?;
        Ok(Self { archive, kept, socket, engines })
    }
}

async fn open_archive(config: &Config) -> Result<Archive> {
    let opened = Archive::open(config.data_dir.join("sessions"), Limits::default()).await;
    opened.map_err(|error| {
        let place = config.layers.place_of("data_dir");
        ConfigError(vec![Problem::new(place, format!("{error}; choose another with --data-dir"))]).into()
    })
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

/// Takes the address. Nobody can connect before somebody listens: a client is refused, and not left to wait for an engine
/// that still loads.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that is restarted finds its address taken by connections that the kernel has not forgotten yet.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn not_listening(address: SocketAddr, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        return anyhow!(
            "{address} is in use; end what listens there, or choose another with --bind (port 0 takes a free one)"
        );
    }
    anyhow::Error::new(error).context(format!("cannot listen at {address}"))
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
