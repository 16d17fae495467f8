//! Speech recognition and forced alignment by PocketSphinx, loaded at run time.
//!
//! Small vocabulary models, a few hundredths of real time per core, no GPU: it works on any machine, and mishears about one
//! word in four of clear read English. [`PocketSphinx`] is a [`NativeModel`]: it belongs in a process of its own (its library
//! ends the process on errors it deems fatal), and the engine host forks that process for each utterance.
//!
//! The C library is opened with `dlopen`, so nothing here needs it to compile, and what is missing is said with the command
//! that installs it. [`Settings::probe`] looks without loading anything.
//!
//! Unsafe code is in `ffi` (declarations) and `decoder` (the only caller) alone.

mod alignment;
mod files;
mod hypothesis;
mod letters;
mod numbers;
mod recognition;
mod search;
mod spoken;
mod stream;
mod vocabulary;

#[allow(unsafe_code, reason = "declarations of a C library found at run time")]
mod ffi;

#[allow(unsafe_code, reason = "the one safe wrapper around the C library")]
mod decoder;

use dalston_engine_sdk::{Capabilities, EngineError, NativeModel, StreamOptions};

pub use files::{Installation, Model, Settings};
pub use stream::PocketSphinxStream;

use alignment::Alignment;
use decoder::Decoder;
use recognition::Recognition;
use search::Search;

/// The engine's id.
pub const ENGINE_ID: &str = "pocketsphinx";

/// A loaded model: one decoder per kind of search, because nothing can be shared between decoders. The usual one is loaded at
/// once, the others when they are first asked for.
pub struct PocketSphinx {
    installation: Installation,
    log: bool,
    decoders: Vec<(Search, Decoder)>,
}

impl PocketSphinx {
    /// Finds and loads the model.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with the fix when something is missing, [`EngineError::Failed`] when the library refuses
    /// the files.
    pub fn load(settings: &Settings) -> Result<Self, EngineError> {
        let mut model = Self { installation: settings.probe()?, log: settings.log, decoders: Vec::new() };
        model.prepare(&StreamOptions::default())?;
        Ok(model)
    }
}

impl Installation {
    /// What the engine can do with this model, known without loading it.
    pub fn capabilities(&self) -> Capabilities {
        Capabilities {
            engine_id: ENGINE_ID.to_owned(),
            model: self.model.name.clone(),
            version: self.version.clone(),
            languages: self.model.languages(),
            partials: true,
            word_timestamps: true,
            confidence: true,
            vocabulary: true,
            punctuation: false,
            alignment: true,
            translation: false,
            max_streams: None,
        }
    }
}

impl NativeModel for PocketSphinx {
    type Stream = PocketSphinxStream;

    fn prepare(&mut self, options: &StreamOptions) -> Result<(), EngineError> {
        let wanted = Search::of(options);
        if !self.decoders.iter().any(|(search, _)| *search == wanted) {
            self.decoders.push((wanted, Decoder::load(&self.installation, wanted, self.log)?));
        }
        Ok(())
    }

    fn into_stream(mut self, options: &StreamOptions) -> Result<PocketSphinxStream, EngineError> {
        self.prepare(options)?;
        let wanted = Search::of(options);
        let mut chosen = None;
        for (search, decoder) in self.decoders {
            if search == wanted {
                chosen = Some(decoder);
            } else {
                // Freeing a model would copy its pages into this process, which was forked to share them.
                std::mem::forget(decoder);
            }
        }
        let mut decoder =
            chosen.ok_or_else(|| EngineError::Failed("the decoder that was loaded is gone".to_owned()))?;
        Ok(match &options.text {
            Some(text) => PocketSphinxStream::Alignment(Alignment::new(decoder, text)?),
            None => {
                vocabulary::apply(&mut decoder, &options.vocabulary)?;
                PocketSphinxStream::Recognition(Recognition::new(decoder))
            }
        })
    }
}
