//! PocketSphinx, in a process of its own.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Result;
use dalston_engine_host::HostedEngine;
use dalston_engine_pocketsphinx as pocketsphinx;
use dalston_engine_sdk::EngineError;
use dalston_telemetry::Metrics;
use futures_util::future::BoxFuture;

use super::{Found, Kind, Started, host_config, streams};
use crate::config::Settings;

/// Debian's PocketSphinx.
pub struct PocketSphinx;

impl Kind for PocketSphinx {
    fn worth(&self) -> &'static str {
        "English only; about one word in four is wrong in free speech"
    }

    fn look(&self, settings: &Settings) -> Result<Found, EngineError> {
        let found = configured(settings).probe()?;
        let (version, library, model) = (&found.version, found.library.display(), &found.model.name);
        Ok(Found { what: format!("PocketSphinx {version} at {library}, model {model}"), better: None })
    }

    fn memory(&self, settings: &Settings) -> u64 {
        const MIB: u64 = 1 << 20;
        110 * MIB + streams(settings).get() as u64 * 32 * MIB
    }

    fn start<'a>(&'a self, settings: &'a Settings, metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async {
            let installation = configured(settings).probe()?;
            let config = host_config(pocketsphinx::ENGINE_ID, variables(settings), settings, metrics);
            let engine = Arc::new(HostedEngine::start(config, installation.capabilities()));
            engine.ready().await?;
            Ok(Started::hosted(engine))
        })
    }

    fn run_host(&self) -> Option<ExitCode> {
        let load = || pocketsphinx::PocketSphinx::load(&pocketsphinx::Settings::from_env());
        Some(dalston_engine_host::run(load))
    }
}

fn configured(settings: &Settings) -> pocketsphinx::Settings {
    pocketsphinx::Settings {
        library: settings.pocketsphinx_library.clone(),
        model: settings.pocketsphinx_model.clone(),
        log: settings.pocketsphinx_log,
    }
}

/// What [`pocketsphinx::Settings::from_env`] reads in the child.
fn variables(settings: &Settings) -> Vec<(OsString, OsString)> {
    let paths = [
        ("DALSTON_POCKETSPHINX_LIBRARY", &settings.pocketsphinx_library),
        ("DALSTON_POCKETSPHINX_MODEL", &settings.pocketsphinx_model),
    ];
    let path = |(name, path): (&str, &Option<PathBuf>)| Some((name.into(), path.clone()?.into()));
    let log = settings.pocketsphinx_log.then(|| ("DALSTON_POCKETSPHINX_LOG".into(), "1".into()));
    paths.into_iter().filter_map(path).chain(log).collect()
}
