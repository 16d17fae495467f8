//! ONNX models by sherpa-onnx, in a process of its own.

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use dalston_engine_host::HostedEngine;
use dalston_engine_sdk::EngineError;
use dalston_engine_sherpa as sherpa;
use dalston_telemetry::Metrics;
use futures_util::future::BoxFuture;

use super::{Found, Kind, Started, built_in, host_config};
use crate::{config::Settings, models};

/// A folder of ONNX files.
pub struct Sherpa;

impl Kind for Sherpa {
    fn worth(&self) -> &'static str {
        "as good as its model; tried with made-up networks only, not with real weights"
    }

    fn look(&self, settings: &Settings) -> Result<Found, EngineError> {
        let found = look(settings)?;
        let manner = if found.model.streaming { "streaming" } else { "whole utterances" };
        Ok(Found { what: format!("sherpa-onnx with {} ({manner})", found.model.name), better: None })
    }

    fn start<'a>(&'a self, settings: &'a Settings, metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async {
            let installation = look(settings)?;
            let config = host_config(sherpa::ENGINE_ID, variables(settings)?, settings, metrics);
            let engine = Arc::new(HostedEngine::start(config, installation.capabilities()));
            engine.ready().await.map_err(anyhow::Error::new).with_context(|| {
                format!(
                    "sherpa-onnx ends its process over files that are not what their names say: see the log, and whether \
                     engine.sherpa.model ({}) and engine.sherpa.punctuation are what they should be",
                    installation.model.name
                )
            })?;
            Ok(Started::hosted(engine))
        })
    }

    #[cfg(feature = "sherpa")]
    fn run_host(&self) -> Option<ExitCode> {
        Some(dalston_engine_host::run(|| sherpa::Sherpa::load(&sherpa::Settings::from_env())))
    }

    #[cfg(not(feature = "sherpa"))]
    fn run_host(&self) -> Option<ExitCode> {
        None
    }
}

fn look(settings: &Settings) -> Result<sherpa::Installation, EngineError> {
    built_in(sherpa::ENGINE_ID, cfg!(feature = "sherpa"))?;
    configured(settings)?.probe()
}

fn configured(settings: &Settings) -> Result<sherpa::Settings, EngineError> {
    let model = settings.sherpa_model.as_deref().map(|asked| models::resolve(settings, sherpa::ENGINE_ID, asked));
    Ok(sherpa::Settings { model: model.transpose()?, punctuation: settings.sherpa_punctuation.clone() })
}

/// What [`sherpa::Settings::from_env`] reads in the child.
fn variables(settings: &Settings) -> Result<Vec<(OsString, OsString)>, EngineError> {
    use sherpa::variable::{MODEL, PUNCTUATION};
    let sherpa::Settings { model, punctuation } = configured(settings)?;
    let path = |path: Option<std::path::PathBuf>| path.unwrap_or_default().into();
    Ok(vec![(MODEL.into(), path(model)), (PUNCTUATION.into(), path(punctuation))])
}
