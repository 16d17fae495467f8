//! What may be set, and what of it is there.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use dalston_engine_sdk::{Capabilities, EngineError};

use crate::ENGINE_ID;
use crate::file::ModelFile;
use crate::languages::languages;

/// The environment variables that [`Settings::from_env`] reads.
pub mod variable {
    /// Path of the model.
    pub const MODEL: &str = "DALSTON_WHISPER_MODEL";
    /// Threads of each stream.
    pub const THREADS: &str = "DALSTON_WHISPER_THREADS";
    /// Milliseconds between two hearings.
    pub const STEP: &str = "DALSTON_WHISPER_STEP_MS";
}

const GET_ONE: &str =
    "`dalston models pull whisper/base.en`, or set engine.whisper.model (DALSTON_WHISPER_MODEL) to a ggml file";

/// How Whisper is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A model's file, in whisper.cpp's format.
    pub model: Option<PathBuf>,
    /// Threads with which one utterance is decoded.
    pub threads: NonZeroUsize,
    /// Audio of a live utterance after which it is heard again.
    pub step: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // More than four gain little on models that are small enough for a processor.
        let threads = NonZeroUsize::new(cores.min(4)).unwrap_or(NonZeroUsize::MIN);
        Self { model: None, threads, step: Duration::from_secs(1) }
    }
}

impl Settings {
    /// The settings of the environment.
    pub fn from_env() -> Self {
        fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
            std::env::var(name).ok()?.parse().ok()
        }
        let usual = Self::default();
        Self {
            model: std::env::var_os(variable::MODEL).filter(|value| !value.is_empty()).map(PathBuf::from),
            threads: number(variable::THREADS).unwrap_or(usual.threads),
            step: number(variable::STEP).map_or(usual.step, Duration::from_millis),
        }
    }

    /// Looks at the model's file without loading it.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with what is wrong with it and how to get another.
    pub fn probe(&self) -> Result<Installation, EngineError> {
        let unavailable = |what: String| EngineError::Unavailable { what, fix: GET_ONE.to_owned() };
        let path = self.model.clone().ok_or_else(|| unavailable("a model for the engine `whisper`".to_owned()))?;
        let file = ModelFile::inspect(&path)
            .map_err(|defect| unavailable(format!("the Whisper model {}, which {defect},", path.display())))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.strip_prefix("ggml-").unwrap_or(&stem).to_owned();
        Ok(Installation { path, name, file })
    }
}

/// A model that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its file.
    pub path: PathBuf,
    /// What it is called: `base.en` for `ggml-base.en.bin`.
    pub name: String,
    /// What it says of itself.
    pub file: ModelFile,
}

impl Installation {
    /// What the engine can do with this model, known without loading it.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            engine_id: ENGINE_ID.to_owned(),
            model: self.name.clone(),
            version: "whisper.cpp".to_owned(),
            languages: languages(self.file.languages),
            partials: true,
            word_timestamps: true,
            confidence: true,
            vocabulary: true,
            punctuation: true,
            alignment: false,
            translation: self.file.languages > 1,
            max_streams: None,
        }
    }
}
