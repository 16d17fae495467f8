//! whisper.cpp, loaded once and forked for each utterance.
//!
//! A fork has no thread but the one that forked. whisper.cpp starts threads for a computation and ends them with it, so
//! between two there are none; a test counts them. What a stream needs beside the weights (its caches) is made before
//! the fork, too: it costs a stream nothing until it is written to.

mod decoder;
mod stream;

use dalston_engine_sdk::{EngineError, NativeModel, StreamOptions};

pub use stream::WhisperStream;

use crate::settings::Settings;
use decoder::Decoder;

/// A loaded model.
pub struct Whisper {
    settings: Settings,
    decoder: Decoder,
}

impl Whisper {
    /// Looks at the model's file and loads it.
    ///
    /// # Errors [`EngineError::Unavailable`] with the fix when there is no whole model, [`EngineError::Failed`] when
    /// the library refuses it.
    pub fn load(settings: &Settings) -> Result<Self, EngineError> {
        // What the library prints cannot be told apart from what was said.
        whisper_rs::install_logging_hooks();
        let installation = settings.probe()?;
        let decoder = Decoder::load(&installation, settings.threads)?;
        Ok(Self { settings: settings.clone(), decoder })
    }
}

impl NativeModel for Whisper {
    type Stream = WhisperStream;

    fn into_stream(self, options: &StreamOptions) -> Result<WhisperStream, EngineError> {
        Ok(WhisperStream::new(self.decoder, &self.settings, options))
    }
}
