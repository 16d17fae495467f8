//! Blocking engines over native libraries, run by the engine host in a process per stream.

use crate::{EngineError, Hypothesis, StreamOptions};

/// A model, loaded once. The host loads it in a process of its own and forks that process for each stream, so
/// everything here may be inherited by a fork: hold no thread, no socket and no lock that another thread could own.
pub trait NativeModel: Sized {
    /// One stream of this model.
    type Stream: NativeStream;

    /// Turns this process, a fresh fork, into one stream. Called once in a process.
    fn into_stream(self, options: &StreamOptions) -> Result<Self::Stream, EngineError>;
}

/// One stream, on one thread of one process. Utterances follow one another: `accept`… `finish`, `accept`… `finish`.
pub trait NativeStream {
    /// Decodes more of the current utterance. Any number of 16 kHz mono samples, blocking until they are decoded.
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError>;

    /// The words so far, or `None` when the engine has no partials. May change with more audio.
    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError>;

    /// Ends the utterance and gives its words. The next `accept` begins another one.
    fn finish(&mut self) -> Result<Hypothesis, EngineError>;
}
