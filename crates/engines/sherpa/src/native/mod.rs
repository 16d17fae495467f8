//! sherpa-onnx, loaded once and forked for each utterance.

mod diarize;
mod load;
mod stream;

use dalston_engine_sdk::{EngineError, NativeModel, StreamOptions};
use sherpa_onnx::{OfflineRecognizer, OnlineRecognizer};

pub use diarize::run_diarize;
pub use stream::SherpaStream;

use crate::settings::Settings;
use load::Punctuation;

/// A loaded model.
pub struct Sherpa {
    recognizer: Recognizer,
    punctuation: Option<Punctuation>,
}

/// What hears.
enum Recognizer {
    Streaming(OnlineRecognizer),
    Whole(OfflineRecognizer),
}

impl Sherpa {
    /// Looks at the files and loads them. **May end the process**: the library does so over a file that it cannot use.
    ///
    /// # Errors [`EngineError::Unavailable`] with the fix when something is missing, [`EngineError::Failed`] when the
    /// library refuses it.
    pub fn load(settings: &Settings) -> Result<Self, EngineError> {
        let installation = settings.probe()?;
        let recognizer = load::recognizer(&installation.model)?;
        let punctuation = installation.punctuation.as_deref().map(load::punctuation).transpose()?;
        Ok(Self { recognizer, punctuation })
    }
}

impl NativeModel for Sherpa {
    type Stream = SherpaStream;

    fn into_stream(self, _options: &StreamOptions) -> Result<SherpaStream, EngineError> {
        Ok(SherpaStream::new(self.recognizer, self.punctuation))
    }
}
