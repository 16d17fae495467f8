//! Speech recognition and punctuation by models in ONNX format, through sherpa-onnx.
//!
//! A model is a folder as its publisher packed it; [`ModelFolder`] tells from its name and its files what it is. Those
//! called `…streaming…` hear as the audio comes and have partials; the others hear an utterance when it is whole. Where
//! a punctuation model is set, it writes punctuation and case into finals. [`Diarize`] tells the speakers of a file
//! apart.
//!
//! `Sherpa` is a `NativeModel`: it belongs in a process of its own, not least because **the library ends its process
//! over a file that is not what it should be**. What can be seen of that beforehand is said beforehand, with the
//! setting to change. Every network runs on one thread, since threads do not survive the fork that each utterance is.
//!
//! What was tried: zipformer CTC models, whole and streaming, with networks that the tests make. Real weights were not
//! at hand, so of the other kinds it is known only that the library takes their settings.

#![forbid(unsafe_code)]

mod diarize;
mod folder;
mod settings;
#[cfg(any(test, feature = "native"))]
mod words;

#[cfg(feature = "native")]
mod native;

pub use diarize::{DIARIZE_ID, Diarize, DiarizeModels};
pub use folder::{ModelFolder, Network, Problem};
#[cfg(feature = "native")]
pub use native::{Sherpa, SherpaStream, run_diarize};
pub use settings::{Installation, Settings, variable};

/// The engine's id.
pub const ENGINE_ID: &str = "sherpa";
