//! All that the author of a speech engine sees.
//!
//! An engine turns 16 kHz mono samples into words. It knows nothing of sockets, sessions, jobs, brokers or tracing:
//! whoever runs it measures it. There are three ways to write one.
//!
//! * [`NativeModel`] / [`NativeStream`]: plain blocking code, one stream on one thread, for libraries in C or C++.
//!   It runs in a child process that loads the model once and forks a process per stream, so a crash, an `exit` or a
//!   hang in native code ends one stream and never the server.
//! * [`StreamingEngine`] / [`Recognizer`]: asynchronous, for engines that are themselves remote, or pure Rust that never
//!   blocks. A native model becomes one through the engine host.
//! * [`batch::Engine`]: plain blocking code over whole files, for any stage of a job. A streaming engine becomes one for
//!   transcription through `dalston-engine-utterances`.
//!
//! Times are seconds on the utterance's own clock: 0 is the first sample given to [`Recognizer::accept`].

#![forbid(unsafe_code)]

pub mod batch;
mod capability;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod hypothesis;
mod native;
mod streaming;

pub use capability::{AnyLanguage, Capabilities, Languages};
pub use error::EngineError;
pub use hypothesis::{Hypothesis, Word};
pub use native::{MAX_ADAPTATION, NativeModel, NativeStream};
pub use streaming::{Caller, MAX_TEXT, Profile, Recognizer, StreamOptions, StreamingEngine};

/// Every engine hears mono samples at this rate, in hertz.
pub const SAMPLE_RATE: u32 = 16_000;
