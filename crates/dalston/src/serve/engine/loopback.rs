//! Makes up words.

use std::sync::Arc;

use anyhow::Result;
use dalston_engine_loopback as loopback;
use dalston_engine_sdk::EngineError;
use dalston_telemetry::Metrics;
use futures_util::future::BoxFuture;

use super::{Found, Kind, Started};
use crate::config::Settings;

/// For load and fault tests.
pub struct Loopback;

impl Kind for Loopback {
    fn worth(&self) -> &'static str {
        "makes up words for tests; it does not recognise speech"
    }

    fn look(&self, _settings: &Settings) -> Result<Found, EngineError> {
        let what = "loopback makes up words; it does not recognise speech".to_owned();
        Ok(Found { what, better: Some("take --engine pocketsphinx for speech") })
    }

    fn start<'a>(&'a self, settings: &'a Settings, _metrics: &'a Arc<Metrics>) -> BoxFuture<'a, Result<Started>> {
        Box::pin(async { Ok(Started::recogniser(Arc::new(loopback::Loopback::new(settings.loopback)))) })
    }
}
