//! Whisper by whisper.cpp, in a process of its own.

use std::{ffi::OsString, num::NonZeroUsize, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_sdk::EngineError;
use dalston_engine_whisper as whisper;
use dalston_telemetry::Metrics;
use futures_util::future::BoxFuture;

use super::{Found, Kind, Started, built_in, host_config};
use crate::{config::Settings, models};

/// A ggml model.
pub struct Whisper;

/// What a stream takes beside the weights: the caches of a small model, and its share of the computation. An estimate.
const STREAM: u64 = 256 << 20;

impl Kind for Whisper {
    fn worth(&self) -> &'static str {
        "the most accurate one here; live it needs a processor or two for each speaker, with a small model"
    }

    fn look(&self, settings: &Settings) -> Result<Found, EngineError> {
        let found = look(settings)?;
        let (name, path) = (&found.name, found.path.display());
        Ok(Found { what: format!("Whisper {name} at {path}"), better: None })
    }

    fn memory(&self, settings: &Settings) -> u64 {
        look(settings).map_or(0, |found| found.file.size + streams(settings).get() as u64 * STREAM)
    }

    fn start<'a>(&'a self, settings: &'a Settings, metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async {
            let installation = look(settings)?;
            let config = host_config(whisper::ENGINE_ID, variables(settings)?, settings, metrics);
            // A call hears up to half a minute of audio, and large models are loaded for a while.
            let limits = Limits {
                max_streams: streams(settings),
                answer: Duration::from_secs(30),
                finish: Duration::from_secs(60),
                load: Duration::from_secs(180),
                ..config.limits
            };
            let engine = Arc::new(HostedEngine::start(HostConfig { limits, ..config }, installation.capabilities()));
            engine.ready().await?;
            Ok(Started::hosted(engine))
        })
    }

    #[cfg(feature = "whisper")]
    fn run_host(&self) -> Option<ExitCode> {
        Some(dalston_engine_host::run(|| whisper::Whisper::load(&whisper::Settings::from_env())))
    }

    #[cfg(not(feature = "whisper"))]
    fn run_host(&self) -> Option<ExitCode> {
        None
    }
}

fn look(settings: &Settings) -> Result<whisper::Installation, EngineError> {
    built_in(whisper::ENGINE_ID, cfg!(feature = "whisper"))?;
    configured(settings)?.probe()
}

fn configured(settings: &Settings) -> Result<whisper::Settings, EngineError> {
    let model = settings.whisper_model.as_deref().map(|asked| models::resolve(settings, whisper::ENGINE_ID, asked));
    let threads = settings.whisper_threads.and_then(|threads| NonZeroUsize::new(threads.get()));
    let usual = whisper::Settings::default();
    Ok(whisper::Settings {
        model: model.transpose()?,
        threads: threads.unwrap_or(usual.threads),
        step: settings.whisper_step.get(),
    })
}

/// What [`whisper::Settings::from_env`] reads in the child.
fn variables(settings: &Settings) -> Result<Vec<(OsString, OsString)>, EngineError> {
    use whisper::variable::{MODEL, STEP, THREADS};
    let whisper::Settings { model, threads, step } = configured(settings)?;
    Ok(vec![
        (MODEL.into(), model.unwrap_or_default().into()),
        (THREADS.into(), threads.to_string().into()),
        (STEP.into(), step.as_millis().to_string().into()),
    ])
}

/// Utterances at once: few, for each takes several threads.
fn streams(settings: &Settings) -> NonZeroUsize {
    let asked = settings.engine_streams.and_then(|streams| NonZeroUsize::new(streams.get()));
    asked.unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores.max(2)).unwrap_or(NonZeroUsize::MIN)
    })
}
