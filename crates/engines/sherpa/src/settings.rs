//! What may be set, and what of it is there.

use std::path::PathBuf;

use dalston_engine_sdk::{Capabilities, EngineError};

use crate::ENGINE_ID;
use crate::folder::{ModelFolder, Network};

/// The environment variables that [`Settings::from_env`] reads.
pub mod variable {
    /// Folder of the model.
    pub const MODEL: &str = "DALSTON_SHERPA_MODEL";
    /// Punctuation model.
    pub const PUNCTUATION: &str = "DALSTON_SHERPA_PUNCTUATION";
}

const GET_ONE: &str = "`dalston models pull sherpa/streaming-zipformer-en-20m`, or set engine.sherpa.model \
                       (DALSTON_SHERPA_MODEL) to the folder of a model from https://k2-fsa.github.io/sherpa/onnx";

/// What sherpa-onnx runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Folder of a model that recognises speech.
    pub model: Option<PathBuf>,
    /// File of a model that writes punctuation: a CT-Transformer, or a CNN-BiLSTM with its `bpe.vocab` beside it.
    pub punctuation: Option<PathBuf>,
}

impl Settings {
    /// The settings of the environment.
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { model: path(variable::MODEL), punctuation: path(variable::PUNCTUATION) }
    }

    /// Looks at the files without opening them.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with what is missing and how to get it.
    pub fn probe(&self) -> Result<Installation, EngineError> {
        let unavailable = |what: String, fix: &str| EngineError::Unavailable { what, fix: fix.to_owned() };
        let path = self.model.as_ref();
        let path = path.ok_or_else(|| unavailable("a model for the engine `sherpa`".to_owned(), GET_ONE))?;
        let model = ModelFolder::inspect(path)
            .map_err(|problem| unavailable(format!("the model {}, which {problem},", path.display()), GET_ONE))?;
        if let Some(file) = self.punctuation.as_ref().filter(|file| !file.is_file()) {
            let what = format!("the punctuation model {}, which is no file,", file.display());
            return Err(unavailable(
                what,
                "set engine.sherpa.punctuation (DALSTON_SHERPA_PUNCTUATION) to one, or to nothing",
            ));
        }
        Ok(Installation { model, punctuation: self.punctuation.clone() })
    }
}

/// What a fresh look at the disk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// What recognises.
    pub model: ModelFolder,
    /// What writes punctuation.
    pub punctuation: Option<PathBuf>,
}

impl Installation {
    /// What the engine can do with this model, known without loading it.
    pub fn capabilities(&self) -> Capabilities {
        let punctuates = self.punctuation.is_some() || matches!(self.model.network, Network::SenseVoice(_));
        Capabilities {
            engine_id: ENGINE_ID.to_owned(),
            model: self.model.name.clone(),
            version: "sherpa-onnx".to_owned(),
            languages: self.model.languages(),
            partials: self.model.streaming,
            word_timestamps: true,
            confidence: false,
            vocabulary: false,
            punctuation: punctuates,
            alignment: false,
            translation: false,
            max_streams: None,
        }
    }
}
