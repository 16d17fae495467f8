//! Another server, by OpenAI's transcription endpoint.

use std::sync::Arc;

use anyhow::Result;
use dalston_engine_remote as remote;
use dalston_engine_sdk::EngineError;
use dalston_telemetry::{Metrics, tracers};
use futures_util::future::BoxFuture;

use super::{Found, Kind, Started, streams};
use crate::config::Settings;

/// Whatever is at a URL.
pub struct Remote;

impl Kind for Remote {
    fn worth(&self) -> &'static str {
        "as good as the server behind it, which hears all that is said"
    }

    fn look(&self, settings: &Settings) -> Result<Found, EngineError> {
        let remote::Settings { endpoint, model, .. } = configured(settings)?;
        Ok(Found { what: format!("remote: {model} at {}, which was not asked", endpoint.host()), better: None })
    }

    fn memory(&self, settings: &Settings) -> u64 {
        /// A part as it was read, as a WAV file, and as the request that it stands in.
        const COPIES: u64 = 3;
        const BYTES_A_SECOND: u64 = 32_000;
        let files = (streams(settings).get() as u64 / 2).max(1);
        files * COPIES * settings.remote_longest.get().as_secs() * BYTES_A_SECOND
    }

    fn start<'a>(&'a self, settings: &'a Settings, _metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async {
            let engine = Arc::new(remote::Remote::new(configured(settings)?, tracers())?);
            Ok(Started { streaming: Some(engine.clone()), batch: vec![engine], hosted: Vec::new() })
        })
    }
}

fn configured(settings: &Settings) -> Result<remote::Settings, EngineError> {
    let Some(endpoint) = settings.remote_url.clone() else {
        let (what, fix) = ("the server of `remote`".to_owned(), "set engine.remote.url".to_owned());
        return Err(EngineError::Unavailable { what, fix });
    };
    Ok(remote::Settings {
        key: settings.remote_key.clone(),
        languages: settings.remote_languages.clone(),
        words: settings.remote_words,
        translates: settings.remote_translates,
        requests: streams(settings),
        timeout: settings.remote_timeout.get(),
        longest: settings.remote_longest.get(),
        ca_file: settings.egress_ca_file.clone(),
        ..remote::Settings::new(endpoint, settings.remote_model.clone())
    })
}
