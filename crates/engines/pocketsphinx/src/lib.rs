//! Speech recognition by PocketSphinx, loaded at run time.
//!
//! Small vocabulary models, a few hundredths of real time per core, no GPU: it works on any machine, and mishears about one
//! word in four of clear read English. [`PocketSphinx`] is a [`NativeModel`]: it belongs in a process of its own (its library
//! ends the process on errors it deems fatal), and the engine host forks that process for each utterance.
//!
//! The C library is opened with `dlopen`, so nothing here needs it to compile, and what is missing is said with the command
//! that installs it. [`Settings::probe`] looks without loading anything.
//!
//! Unsafe code is in `ffi` (declarations) and `decoder` (the only caller) alone.

mod files;
mod hypothesis;
mod letters;
mod stream;
mod vocabulary;

#[allow(unsafe_code, reason = "declarations of a C library found at run time")]
mod ffi;

#[allow(unsafe_code, reason = "the one safe wrapper around the C library")]
mod decoder;

use dalston_engine_sdk::{Capabilities, EngineError, NativeModel, Profile, StreamOptions};

pub use files::{Installation, Model, Settings};
pub use stream::PocketSphinxStream;

use decoder::Decoder;

/// The engine's id.
pub const ENGINE_ID: &str = "pocketsphinx";

/// A loaded model: one decoder per profile, because nothing can be shared between decoders. The usual one is loaded at
/// once, the others when they are first asked for.
pub struct PocketSphinx {
    installation: Installation,
    log: bool,
    balanced: Decoder,
    low_latency: Option<Decoder>,
    accurate: Option<Decoder>,
}

impl PocketSphinx {
    /// Finds and loads the model.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] with the fix when something is missing, [`EngineError::Failed`] when the library refuses
    /// the files.
    pub fn load(settings: &Settings) -> Result<Self, EngineError> {
        let installation = settings.probe()?;
        let balanced = Decoder::load(&installation, Profile::Balanced, settings.log)?;
        Ok(Self { installation, log: settings.log, balanced, low_latency: None, accurate: None })
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
            max_streams: None,
        }
    }
}

impl NativeModel for PocketSphinx {
    type Stream = PocketSphinxStream;

    fn prepare(&mut self, options: &StreamOptions) -> Result<(), EngineError> {
        let decoder = match options.profile {
            Profile::Balanced => return Ok(()),
            Profile::LowLatency => &mut self.low_latency,
            Profile::Accurate => &mut self.accurate,
        };
        if decoder.is_none() {
            *decoder = Some(Decoder::load(&self.installation, options.profile, self.log)?);
        }
        Ok(())
    }

    fn into_stream(mut self, options: &StreamOptions) -> Result<PocketSphinxStream, EngineError> {
        self.prepare(options)?;
        let Self { balanced, low_latency, accurate, .. } = self;
        let decoders =
            [(Profile::Balanced, Some(balanced)), (Profile::LowLatency, low_latency), (Profile::Accurate, accurate)];
        let mut chosen = None;
        for (profile, decoder) in decoders {
            if profile == options.profile {
                chosen = decoder;
            } else {
                // Freeing a model would copy its pages into this process, which was forked to share them.
                std::mem::forget(decoder);
            }
        }
        let mut decoder = chosen.ok_or_else(|| EngineError::Failed("the profile's decoder is gone".to_owned()))?;
        vocabulary::apply(&mut decoder, &options.vocabulary)?;
        Ok(PocketSphinxStream::new(decoder))
    }
}
