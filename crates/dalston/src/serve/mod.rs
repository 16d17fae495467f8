//! `dalston serve`: the whole server in one process, or some of its parts.

mod address_book;
mod batch;
mod catalogue;
mod doors;
pub mod engine;
pub mod limits;
mod live;
mod ops;
mod signals;
mod site;

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, anyhow};
use dalston_engine_sdk::batch::Catalogue;
use dalston_gateway::{Deps, Gateway, Jobs};
use dalston_realtime::{RealtimeConfig, Worker};
use dalston_session_router::SessionRouter;
use dalston_store::{Archive, Limits, Shelf};
use dalston_telemetry::{Metrics, Telemetry, tracers};
use tokio::{net::TcpSocket, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    address_book::AddressBook,
    batch::Work,
    doors::Doors,
    engine::Engines,
    live::Live,
    ops::Ops,
    site::{Kept, Site},
};
use crate::{
    cli::ServeArgs,
    config::{self, Config, ConfigError, Problem, Role},
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

/// The order of the end: the gateway drains, then the workers go, then the engines, and the gateway answers to the last. A worker
/// that went first would close its sessions before they had been read to their end.
async fn serve(config: Config) -> Result<()> {
    let shutdown = signals::first()?;
    let role = config.settings.role.to_string();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), role, "starting");
    let metrics = Arc::new(Metrics::new());
    let started = tokio::select! {
        biased;
        () = shutdown.cancelled() => {
            tracing::info!("told to end before it was ready");
            return Ok(());
        }
        started = Started::all(&config, &metrics) => started?,
    };
    let Started { archive, shelf, site, doors, socket, engines } = started;
    let listener = socket.listen(BACKLOG).map_err(|error| not_listening(config.settings.bind, error))?;
    let _sweeping = shelf.clone().map(|shelf| AbortOnDropHandle::new(tokio::spawn(sweep(shelf))));

    let router = config.settings.role.has(Role::Gateway).then(|| site.router(&metrics));
    let sessions_over = CancellationToken::new();
    let live = match &engines {
        Some(engines) if config.settings.role.has(Role::Realtime) => {
            let (metrics, tracers) = (metrics.clone(), tracers().clone());
            let worker = Worker::new(config.realtime.clone(), engines.streaming(), metrics, tracers, archive.clone());
            Some(Live::start(worker, &site, router.as_deref(), &config.settings, sessions_over.clone()).await?)
        }
        _ => None,
    };
    let engines_of_jobs = Catalogue::default();
    let work = match &site.jobs {
        Some(kept) => {
            let work = Work::on(kept.clone(), metrics.clone(), shutdown.child_token());
            Some(work.start(&config, &site, engines.as_ref(), &engines_of_jobs).await?)
        }
        None => None,
    };

    let address = listener.local_addr()?;
    let behind = Behind { live, work, engines, archive, sessions_over };
    let auth = doors.as_ref().map(Doors::describe).unwrap_or_default();
    let book = AddressBook { address, engines: behind.engines.as_ref(), config: &config, auth };
    let Some(router) = router else {
        let ops = Ops { metrics, draining: shutdown.clone() };
        let _probes = AbortOnDropHandle::new(tokio::spawn(ops.serve(listener)));
        book.print()?;
        shutdown.cancelled().await;
        let RealtimeConfig { linger, drain_deadline, .. } = config.realtime;
        let ended = behind.end(linger + drain_deadline + LAST_WRITES).await;
        if let Some(kept) = &site.jobs {
            kept.store.close().await;
        }
        return ended;
    };
    let gateway = gateway(&config, &site, doors, router, metrics, shelf, engines_of_jobs)?;
    book.print()?;
    let mut ended = Ok(());
    // Begun when the sessions have been asked to end and have had their time. Until it is over, jobs can be asked for.
    let rest = async { ended = behind.end(LAST_WRITES).await };
    gateway.serve(listener, shutdown.cancelled(), rest).await?;
    if let Some(kept) = &site.jobs {
        kept.store.close().await;
    }
    ended
}

/// What stands behind the edge.
struct Behind {
    live: Option<Live>,
    work: Option<Work>,
    engines: Option<Engines>,
    archive: Option<Archive>,
    sessions_over: CancellationToken,
}

impl Behind {
    /// Ends it: sessions have so long, then tasks have their time.
    async fn end(self, patience: Duration) -> Result<()> {
        let Self { live, work, engines, archive, sessions_over } = self;
        sessions_over.cancel();
        let ended = match live {
            Some(live) => live.ended(patience).await,
            None => Ok(true),
        };
        let all_have = !matches!(ended, Ok(false));
        if !all_have {
            // Their clients have been closed; what they still wait for has had its time. They end with the process.
            tracing::warn!("sessions of the realtime worker did not end in time and are cut");
        }
        if let Some(work) = work {
            work.ended().await;
        }
        ended?;
        // A session that was cut still waits for its engine.
        if let Some(engines) = engines.filter(|_| all_have) {
            engines.shutdown().await;
        }
        let Some(archive) = archive else { return Ok(()) };
        if !all_have {
            // What is to be kept of the others is with the disk already, or as good as.
            let _ = timeout(LAST_WRITES, archive.close()).await;
            return Ok(());
        }
        archive.close().await.context("not every kept session reached the disk")
    }
}

fn gateway(
    config: &Config,
    site: &Site,
    doors: Option<Doors>,
    router: Arc<SessionRouter>,
    metrics: Arc<Metrics>,
    shelf: Option<Shelf>,
    engines: Catalogue,
) -> Result<Gateway> {
    let mut gateway = Gateway::new(config.gateway.clone(), Deps { router, tracers: tracers().clone(), metrics })?;
    if let Some(shelf) = shelf {
        gateway = gateway.with_shelf(shelf);
    }
    if let Some(store) = site.resume.clone() {
        gateway = gateway.with_resume_store(store);
    }
    if let Some(Doors { keys, secret, .. }) = doors {
        gateway = gateway.with_keys(keys, secret);
    }
    if let Some(Kept { store, artifacts, broker }) = site.jobs.clone() {
        gateway = gateway.with_jobs(Jobs { store, artifacts, broker, engines, settings: config.settings.jobs() })?;
    }
    Ok(gateway.with_egress(site.client.clone()))
}

/// What can be wrong, or take long, before the server serves.
struct Started {
    archive: Option<Archive>,
    shelf: Option<Shelf>,
    site: Site,
    /// Who is let in, where this process is a gateway.
    doors: Option<Doors>,
    socket: TcpSocket,
    engines: Option<Engines>,
}

impl Started {
    /// In the order of what it costs to find out: what the configuration names, the address, the engines themselves.
    async fn all(config: &Config, metrics: &Arc<Metrics>) -> Result<Self> {
        let settings = &config.settings;
        let needs_recognisers = settings.needs_recognisers();
        if needs_recognisers {
            engine::look(settings)?;
        }
        let archive = if settings.role.has(Role::Realtime) { Some(open_archive(config).await?) } else { None };
        let shelf = match &archive {
            Some(archive) => Some(Shelf::clone(archive)),
            None => site::shelf(config).await?,
        };
        let site = Site::open(config).await?;
        let doors = match &site.jobs {
            Some(kept) if settings.role.has(Role::Gateway) => Some(Doors::look(config, &kept.store).await?),
            _ => None,
        };
        let socket = bind(settings.bind).map_err(|error| not_listening(settings.bind, error))?;
        let engines = if needs_recognisers { Some(Engines::start(settings, metrics).await?) } else { None };
        Ok(Self { archive, shelf, site, doors, socket, engines })
    }
}

async fn open_archive(config: &Config) -> Result<Archive> {
    let folder = config.data_dir.join("sessions");
    let opened = match &config.settings.artifacts {
        Some(location) => Archive::with_shelf(folder, location, Limits::default()).await,
        None => Archive::open(folder, Limits::default()).await,
    };
    opened.map_err(|error| {
        let place = config.layers.place_of("data_dir");
        ConfigError(vec![Problem::new(place, format!("{error}; choose another with --data-dir"))]).into()
    })
}

/// Removes what has been kept long enough.
async fn sweep(shelf: Shelf) {
    const EVERY: Duration = Duration::from_secs(300);
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        match shelf.sweep(SystemTime::now()).await {
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
