//! Speech recognition by any server with OpenAI's transcription endpoint
//! (<https://platform.openai.com/docs/api-reference/audio/createTranscription>): OpenAI itself, a GPU server that speaks like
//! it, another Dalston.
//!
//! * A file goes there in parts, cut where it is quiet, since such servers take 25 MiB; times are put back on the file's clock.
//! * A live utterance goes there when it has ended: there are no partials.
//! * `traceparent` and `x-request-id` go along, so that a server which traces too continues the same trace.
//! * What the answer lacks is not made up: words without times are left to alignment.
//!
//! Every wait and size is bounded, and a task that is cancelled closes its connection.

#![forbid(unsafe_code)]

mod batch;
mod error;
mod form;
mod languages;
mod live;
mod recording;
mod reply;
mod server;
mod settings;

use std::sync::Arc;

use dalston_egress::EgressError;
use dalston_engine_sdk::{Capabilities, Languages};
use dalston_telemetry::Tracers;
use tokio::runtime::Handle;

pub use settings::{Endpoint, InvalidEndpoint, Key, Settings};

use server::Server;

/// What `--engine` and `model=` call it.
pub const ENGINE_ID: &str = "remote";

/// The engine: for live sessions, and for files.
#[derive(Debug)]
pub struct Remote {
    capabilities: Capabilities,
    server: Arc<Server>,
    runtime: Handle,
}

impl Remote {
    /// An engine that asks this server. Nothing is asked yet. Must be called in a tokio runtime, which must outlive every task.
    ///
    /// # Errors
    /// When the certificates to trust cannot be read.
    pub fn new(settings: Settings, tracers: &Tracers) -> Result<Self, EgressError> {
        let languages = match &settings.languages[..] {
            [] => Languages::any(),
            languages => Languages::Only(languages.to_vec()),
        };
        let capabilities = Capabilities {
            engine_id: ENGINE_ID.into(),
            model: settings.model.clone(),
            // Nobody tells.
            version: "unknown".into(),
            languages,
            partials: false,
            word_timestamps: settings.words,
            confidence: false,
            vocabulary: true,
            // It depends on the model behind it; those that are served like this do.
            punctuation: true,
            alignment: false,
            translation: settings.translates,
            max_streams: Some(settings.requests.get()),
        };
        Ok(Self { capabilities, server: Arc::new(Server::new(settings, tracers)?), runtime: Handle::current() })
    }
}
