//! The engines that were asked for, running.
//!
//! Each kind of engine is a module of its own with one [`Kind`]; [`kind`] and the names in the configuration are all that
//! lists them.

mod loopback;
mod pocketsphinx;
mod remote;
mod sherpa;
mod whisper;

use std::{ffi::OsString, num::NonZeroUsize, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use dalston_engine_align::Align;
use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_sdk::{EngineError, Profile, StreamingEngine, batch};
use dalston_engine_utterances::{Settings as UtteranceSettings, Utterances};
use dalston_telemetry::Metrics;
use futures_util::future::{BoxFuture, join_all, try_join_all};
use tokio_util::task::AbortOnDropHandle;

use self::{loopback::Loopback, pocketsphinx::PocketSphinx, remote::Remote, sherpa::Sherpa, whisper::Whisper};
use crate::config::{EngineName, Settings};

/// What the server has to know of one kind of engine.
pub trait Kind: Sync {
    /// What it is worth, in one honest line.
    fn worth(&self) -> &'static str;

    /// Whether it could be started, without starting it.
    ///
    /// # Errors
    /// What is missing, with the fix.
    fn look(&self, settings: &Settings) -> Result<Found, EngineError>;

    /// Bytes that it takes when all of its streams are busy, as measured.
    fn memory(&self, _settings: &Settings) -> u64 {
        0
    }

    /// Starts it and waits until it can take work.
    ///
    /// # Errors
    /// Why it cannot.
    fn start<'a>(&'a self, settings: &'a Settings, metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>>;

    /// The child's side of `dalston engine-host NAME`, for an engine that lives in a process of its own. Called before any
    /// thread is started, and sees neither our file nor our flags, but for the variables that [`host_config`] was given.
    fn run_host(&self) -> Option<ExitCode> {
        None
    }
}

/// The kind with this name.
pub fn kind(name: EngineName) -> &'static dyn Kind {
    match name {
        EngineName::PocketSphinx => &PocketSphinx,
        EngineName::Remote => &Remote,
        EngineName::Whisper => &Whisper,
        EngineName::Sherpa => &Sherpa,
        EngineName::Loopback => &Loopback,
    }
}

/// An engine that could be started.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is.
    pub what: String,
    /// What would be better, where this is hardly what somebody wants.
    pub better: Option<&'static str>,
}

/// One engine that runs.
#[derive(Default)]
pub struct Started {
    /// What live sessions are recognised with.
    pub streaming: Option<Arc<dyn StreamingEngine>>,
    /// What does stages of jobs. The id of each names its queue, so no two engines of a server have the same.
    pub batch: Vec<Arc<dyn batch::Engine>>,
    /// Those of them that live in processes of their own.
    pub hosted: Vec<Arc<HostedEngine>>,
}

impl Started {
    /// An engine that recognises live sessions, and files utterance by utterance; and aligns what others have recognised, where
    /// it can. Must be called in the server's runtime.
    pub fn recogniser(engine: Arc<dyn StreamingEngine>) -> Self {
        let parallel = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let settings = UtteranceSettings { profile: Profile::Accurate, parallel, ..UtteranceSettings::default() };
        let files: Arc<dyn batch::Engine> = Arc::new(Utterances::new(engine.clone(), settings));
        let align = Align::new(engine.clone(), parallel).map(|align| Arc::new(align) as _);
        Self { streaming: Some(engine), batch: std::iter::once(files).chain(align).collect(), hosted: Vec::new() }
    }

    /// The same in a process of its own.
    pub fn hosted(engine: Arc<HostedEngine>) -> Self {
        Self { hosted: vec![engine.clone()], ..Self::recogniser(engine) }
    }
}

/// All engines of a server, the default one first.
pub struct Engines {
    started: Vec<Started>,
    _gauges: AbortOnDropHandle<()>,
}

impl Engines {
    /// Starts those that were asked for and waits until all can take work.
    ///
    /// # Errors
    /// What is missing, with the fix.
    pub async fn start(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Self> {
        let start = |name: &EngineName| {
            let start = kind(*name).start(settings, metrics);
            let name = name.as_str();
            async move { start.await.with_context(|| format!("the engine `{name}` did not start")) }
        };
        let started = try_join_all(settings.engines.iter().map(start)).await?;
        let hosted = started.iter().flat_map(|engine| engine.hosted.clone()).collect();
        let gauges = AbortOnDropHandle::new(tokio::spawn(show_pools(hosted, metrics.clone())));
        Ok(Self { started, _gauges: gauges })
    }

    /// What live sessions are recognised with.
    pub fn streaming(&self) -> Vec<Arc<dyn StreamingEngine>> {
        self.started.iter().filter_map(|engine| engine.streaming.clone()).collect()
    }

    /// What does stages of jobs.
    pub fn batch(&self) -> Vec<Arc<dyn batch::Engine>> {
        self.started.iter().flat_map(|engine| engine.batch.clone()).collect()
    }

    /// Ends what was started. Sessions and tasks must have ended before.
    pub async fn shutdown(self) {
        let hosted = self.started.iter().flat_map(|engine| &engine.hosted);
        join_all(hosted.map(|engine| engine.shutdown())).await;
    }
}

/// Whether the engines that were asked for are there, without starting them.
///
/// # Errors
/// What is missing, with the fix.
pub fn look(settings: &Settings) -> Result<()> {
    settings.engines.iter().try_for_each(|name| {
        let found = kind(*name).look(settings).with_context(|| {
            let name = name.as_str();
            format!("the engine `{name}` cannot start (`--engine loopback` runs everything but speech recognition)")
        });
        found.map(drop)
    })
}

/// Bytes that the engines take when all of their streams are busy, as measured.
pub fn memory(settings: &Settings) -> u64 {
    settings.engines.iter().map(|name| kind(*name).memory(settings)).sum()
}

/// Whether an engine with a library of its own is part of this program.
///
/// # Errors
/// How to build one that has it.
fn built_in(name: &str, is_built_in: bool) -> Result<(), EngineError> {
    let (what, fix) = (
        format!("the engine `{name}`"),
        "this program was built without it; `make engines` builds one with all engines",
    );
    if is_built_in { Ok(()) } else { Err(EngineError::Unavailable { what, fix: fix.to_owned() }) }
}

/// How a native engine's process is started.
fn host_config(name: &str, env: Vec<(OsString, OsString)>, settings: &Settings, metrics: &Arc<Metrics>) -> HostConfig {
    let wait = metrics.decoder.wait.clone();
    HostConfig {
        env,
        limits: Limits { max_streams: streams(settings), ..Limits::default() },
        on_granted: Some(Arc::new(move |waited| wait.observe(waited))),
        ..HostConfig::this_program(name)
    }
}

/// Streams of one engine at once.
fn streams(settings: &Settings) -> NonZeroUsize {
    let asked = settings.engine_streams.and_then(|streams| NonZeroUsize::new(streams.get()));
    asked.unwrap_or(Limits::default().max_streams)
}

/// Shows the pools of decoders, all in one, in the metrics, as fresh as anyone scrapes them.
async fn show_pools(engines: Vec<Arc<HostedEngine>>, metrics: Arc<Metrics>) {
    let gauges = &metrics.decoder;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let stats: Vec<_> = engines.iter().map(|engine| engine.stats()).collect();
        gauges.in_use.set(stats.iter().map(|pool| pool.in_use as i64).sum());
        gauges.limit.set(stats.iter().map(|pool| pool.limit as i64).sum());
        gauges.waiting.set(stats.iter().map(|pool| pool.waiting as i64).sum());
    }
}

/// `dalston engine-host NAME`, which the server starts for its engines and nobody types: the child's side. `None` when that is
/// not what was typed. Must be called before any thread is started, because it forks.
pub fn run_host_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != "engine-host" {
        return None;
    }
    let name = args.next()?;
    if name == dalston_engine_prepare::ENGINE_ID {
        return Some(dalston_engine_prepare::run());
    }
    #[cfg(feature = "sherpa")]
    if name == dalston_engine_sherpa::DIARIZE_ID {
        return Some(dalston_engine_sherpa::run_diarize());
    }
    let asked = EngineName::all().find(|engine| name == engine.as_str());
    asked.and_then(|engine| kind(engine).run_host()).or_else(|| {
        eprintln!("error: engine-host is for the server's own use, with the name of a native engine");
        Some(ExitCode::FAILURE)
    })
}
