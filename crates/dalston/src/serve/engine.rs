//! The engine that was asked for, running.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_loopback::Loopback;
use dalston_engine_pocketsphinx as pocketsphinx;
use dalston_engine_sdk::{EngineError, StreamingEngine};
use dalston_telemetry::Metrics;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{EngineName, Settings};

/// An engine that can take sessions.
pub struct Engine {
    /// What the worker recognises with.
    pub streaming: Arc<dyn StreamingEngine>,
    hosted: Option<Hosted>,
}

/// An engine in a process of its own.
struct Hosted {
    engine: Arc<HostedEngine>,
    _gauges: AbortOnDropHandle<()>,
}

/// Starts the engine and waits until it can take sessions.
///
/// # Errors
/// What is missing, with the fix.
pub async fn start(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Engine> {
    match settings.engine.0 {
        EngineName::Loopback => Ok(Engine { streaming: Arc::new(Loopback::new(settings.loopback)), hosted: None }),
        EngineName::PocketSphinx => {
            let installation = installation(settings)?;
            let env = pocketsphinx_variables(settings);
            let config = HostConfig { env, ..host_config(pocketsphinx::ENGINE_ID, settings, metrics) };
            let engine = Arc::new(HostedEngine::start(config, installation.capabilities()));
            engine.ready().await.context("the engine did not start")?;
            let gauges = AbortOnDropHandle::new(tokio::spawn(show_pool(engine.clone(), metrics.clone())));
            Ok(Engine { streaming: engine.clone(), hosted: Some(Hosted { engine, _gauges: gauges }) })
        }
    }
}

/// Whether the engine that was asked for is there, without starting it.
///
/// # Errors
/// What is missing, with the fix.
pub fn look(settings: &Settings) -> Result<()> {
    match settings.engine.0 {
        EngineName::Loopback => Ok(()),
        EngineName::PocketSphinx => installation(settings).map(drop),
    }
}

fn installation(settings: &Settings) -> Result<pocketsphinx::Installation> {
    const INSTEAD: &str =
        "the default engine cannot start (without it, `--engine loopback` runs everything but speech recognition)";
    pocketsphinx_settings(settings).probe().context(INSTEAD)
}

fn host_config(engine: &str, settings: &Settings, metrics: &Arc<Metrics>) -> HostConfig {
    let wait = metrics.decoder.wait.clone();
    HostConfig {
        limits: Limits { max_streams: streams(settings), ..Limits::default() },
        on_granted: Some(Arc::new(move |waited| wait.observe(waited))),
        ..HostConfig::this_program(engine)
    }
}

fn pocketsphinx_settings(settings: &Settings) -> pocketsphinx::Settings {
    pocketsphinx::Settings {
        library: settings.pocketsphinx_library.clone(),
        model: settings.pocketsphinx_model.clone(),
        log: settings.pocketsphinx_log,
    }
}

/// What [`pocketsphinx::Settings::from_env`] reads in the child, which sees neither our file nor our flags.
fn pocketsphinx_variables(settings: &Settings) -> Vec<(OsString, OsString)> {
    let paths = [
        ("DALSTON_POCKETSPHINX_LIBRARY", &settings.pocketsphinx_library),
        ("DALSTON_POCKETSPHINX_MODEL", &settings.pocketsphinx_model),
    ];
    let path = |(name, path): (&str, &Option<PathBuf>)| Some((name.into(), path.clone()?.into()));
    let log = settings.pocketsphinx_log.then(|| ("DALSTON_POCKETSPHINX_LOG".into(), "1".into()));
    paths.into_iter().filter_map(path).chain(log).collect()
}

fn streams(settings: &Settings) -> NonZeroUsize {
    let asked = settings.engine_streams.and_then(|streams| NonZeroUsize::new(streams.get()));
    asked.unwrap_or(Limits::default().max_streams)
}

/// Shows the pool of decoders in the metrics, as fresh as anyone scrapes them.
async fn show_pool(engine: Arc<HostedEngine>, metrics: Arc<Metrics>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        ticks.tick().await;
        let stats = engine.stats();
        let gauges = &metrics.decoder;
        gauges.in_use.set(stats.in_use as i64);
        gauges.limit.set(stats.limit as i64);
        gauges.waiting.set(stats.waiting as i64);
    }
}

impl Engine {
    /// Ends what was started. Sessions must have ended before.
    pub async fn shutdown(self) {
        let Some(Hosted { engine, _gauges: gauges }) = self.hosted else { return };
        drop(self.streaming);
        gauges.abort();
        // The task holds a share until it has ended. A share that is left elsewhere ends with the process, and the host with it.
        let _cancelled = gauges.await;
        if let Some(engine) = Arc::into_inner(engine) {
            engine.shutdown().await;
        }
    }
}

/// Looks for PocketSphinx without loading it: what was found, in words.
///
/// # Errors
/// What is missing, with the fix.
pub fn look_for_pocketsphinx(settings: &Settings) -> Result<String, EngineError> {
    let found = pocketsphinx_settings(settings).probe()?;
    Ok(format!("PocketSphinx {} at {}, model {}", found.version, found.library.display(), found.model.name))
}

/// Bytes that the engine takes when all of its streams are busy, as measured.
pub fn memory(settings: &Settings) -> u64 {
    const MIB: u64 = 1 << 20;
    match settings.engine.0 {
        EngineName::Loopback => 0,
        EngineName::PocketSphinx => 110 * MIB + streams(settings).get() as u64 * 32 * MIB,
    }
}

/// `dalston engine-host NAME`, which the server starts for its engine and nobody types: the child's side. `None` when that is
/// not what was typed. Must be called before any thread is started, because it forks.
pub fn run_host_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next()? != "engine-host" {
        return None;
    }
    let engine = args.next()?;
    if engine == pocketsphinx::ENGINE_ID {
        let load = || pocketsphinx::PocketSphinx::load(&pocketsphinx::Settings::from_env());
        return Some(dalston_engine_host::run(load));
    }
    if engine == dalston_engine_prepare::ENGINE_ID {
        return Some(dalston_engine_prepare::run());
    }
    eprintln!("error: engine-host is for the server's own use, with the name of a native engine");
    Some(ExitCode::FAILURE)
}
