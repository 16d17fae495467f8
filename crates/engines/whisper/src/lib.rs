//! Speech recognition by Whisper models through whisper.cpp.
//!
//! A hundred languages, punctuation and case, some tenths of real time per core for the small models. `Whisper` is a
//! `NativeModel`: it belongs in a process of its own, which the engine host forks for each utterance.
//!
//! * **Live**: Whisper hears whole recordings and not streams, so what has come of an utterance is heard again for each
//!   second of it, and the words that two hearings in a row agree on are final ([`LocalAgreement`]). Each hearing costs
//!   in proportion to the audio that is not agreed on.
//! * **Files**: each utterance once, whole, with a beam.
//! * **Times of words** are whisper.cpp's heuristic: the probabilities of the model's time marks, and the loudness of
//!   the audio. They work with any model and are right to about two tenths of a second; alignment heads (DTW), which
//!   would be better, must be known for each model.
//! * **Confidence** is the probability that the model gave to the word's tokens: a rank more than a measure.
//!
//! The native code is behind the feature `native`. Without it the crate has everything that says what is wrong with a
//! model's file.

#![forbid(unsafe_code)]

mod agreement;
mod file;
mod languages;
mod settings;
#[cfg(any(test, feature = "native"))]
mod words;

#[cfg(feature = "native")]
mod native;

pub use agreement::LocalAgreement;
pub use file::{Defect, ModelFile};
#[cfg(feature = "native")]
pub use native::{Whisper, WhisperStream};
pub use settings::{Installation, Settings, variable};

/// The engine's id.
pub const ENGINE_ID: &str = "whisper";
