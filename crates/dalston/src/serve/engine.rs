//! The engine that was asked for, running.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

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
        EngineName::Loopback => {
            Ok(Engine { streaming: Arc::new(Loopback::new(settings.loopback)), hosted: None })
        }
        EngineName::PocketSphinx => {
            let installation = pocketsphinx::Settings::from_env().probe().context(INSTEAD)?;
            let config = host_config(pocketsphinx::ENGINE_ID, settings, metrics);
            let engine = Arc::new(HostedEngine::start(config, installation.capabilities()));
            engine.ready().await.context("the engine did not start")?;
            let gauges = AbortOnDropHandle::new(tokio::spawn(show_pool(engine.clone(), metrics.clone())));
            Ok(Engine { streaming: engine.clone(), hosted: Some(Hosted { engine, _gauges: gauges }) })
        }
    }
}

const INSTEAD: &str = "the default engine cannot start (without it, `--engine loopback` runs everything but speech recognition)";

fn host_config(engine: &str, settings: &Settings, metrics: &Arc<Metrics>) -> HostConfig {
    let wait = metrics.decoder.wait.clone();
    HostConfig {
        limits: Limits { max_streams: streams(settings), ..Limits::default() },
        on_granted: Some(Arc::new(move |waited| wait.observe(waited))),
        ..HostConfig::this_program(engine)
    }
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
pub fn look_for_pocketsphinx() -> Result<String, EngineError> {
    let found = pocketsphinx::Settings::from_env().probe()?;
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

/// `dalston engine-host NAME`: the child's side.
pub fn run_host(engine: EngineName) -> std::process::ExitCode {
    match engine {
        EngineName::PocketSphinx => {
            dalston_engine_host::run(|| pocketsphinx::PocketSphinx::load(&pocketsphinx::Settings::from_env()))
        }
        EngineName::Loopback => {
            eprintln!("error: loopback needs no process of its own");
            std::process::ExitCode::FAILURE
        }
    }
}
