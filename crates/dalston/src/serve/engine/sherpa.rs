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
        let Parts { recogniser, diarize } = look(settings)?;
        let recogniser = recogniser.map(|found| {
            let manner = if found.model.streaming { "streaming" } else { "whole utterances" };
            format!("{} ({manner})", found.model.name)
        });
        let speakers = diarize.map(|_| "speakers".to_owned());
        let parts: Vec<String> = recogniser.into_iter().chain(speakers).collect();
        Ok(Found { what: format!("sherpa-onnx with {}", parts.join(", ")), better: None })
    }

    fn start<'a>(&'a self, settings: &'a Settings, metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async {
            let Parts { recogniser, diarize } = look(settings)?;
            let mut started = Started::default();
            if let Some(installation) = recogniser {
                let config = host_config(sherpa::ENGINE_ID, variables(settings)?, settings, metrics);
                let engine = Arc::new(HostedEngine::start(config, installation.capabilities()));
                engine.ready().await.map_err(anyhow::Error::new).with_context(|| {
                    format!(
                        "sherpa-onnx ends its process over files that are not what their names say: see the log, and \
                         whether engine.sherpa.model ({}) and engine.sherpa.punctuation are what they should be",
                        installation.model.name
                    )
                })?;
                started = Started::hosted(engine);
            }
            started.batch.extend(diarize.map(|diarize| Arc::new(diarize) as _));
            Ok(started)
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

/// What of it was asked for: a model that recognises, two that tell speakers apart, or both.
struct Parts {
    recogniser: Option<sherpa::Installation>,
    diarize: Option<sherpa::Diarize>,
}

fn look(settings: &Settings) -> Result<Parts, EngineError> {
    built_in(sherpa::ENGINE_ID, cfg!(feature = "sherpa"))?;
    let diarize = match (&settings.sherpa_segmentation, &settings.sherpa_embedding) {
        (Some(segmentation), Some(embedding)) => {
            let models = sherpa::DiarizeModels { segmentation: segmentation.clone(), embedding: embedding.clone() };
            let args = vec!["engine-host".into(), sherpa::DIARIZE_ID.into()];
            Some(sherpa::Diarize::new(models, "/proc/self/exe".into(), args)?)
        }
        (None, None) => None,
        _ => {
            let what = "half of what tells speakers apart".to_owned();
            let fix = "set both engine.sherpa.segmentation and engine.sherpa.embedding, or neither".to_owned();
            return Err(EngineError::Unavailable { what, fix });
        }
    };
    let is_wanted = settings.sherpa_model.is_some() || diarize.is_none();
    let recogniser = is_wanted.then(|| configured(settings)?.probe()).transpose()?;
    Ok(Parts { recogniser, diarize })
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
