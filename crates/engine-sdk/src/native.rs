//! Blocking engines over native libraries, run by the engine host in a process per stream.

use crate::{EngineError, Hypothesis, StreamOptions};

/// A model, loaded once. The host loads it in a process of its own and forks that process for each stream, so
/// everything here may be inherited by a fork: hold no thread, no socket and no lock that another thread could own.
pub trait NativeModel: Sized {
    /// One stream of this model.
    type Stream: NativeStream;

    /// Called in the process that holds the model, before each fork: may load what such a stream needs beyond what is loaded
    /// already, so that later forks share it. Every fork waits for it, so it must be quick or rare.
    fn prepare(&mut self, options: &StreamOptions) -> Result<(), EngineError> {
        let _unused = options;
        Ok(())
    }

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

    /// What was learned about the voice and its channel, in a form of the engine's own and at most
    /// [`MAX_ADAPTATION`] bytes: given to the session's next stream, never to another session's. Empty when there is nothing.
    fn adaptation(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes what an earlier stream of the same session has learned. Called at most once, before the first `accept`.
    fn adapt(&mut self, adaptation: &[u8]) -> Result<(), EngineError> {
        let _unused = adaptation;
        Ok(())
    }
}

/// Most bytes that a stream may hand on to the next.
pub const MAX_ADAPTATION: usize = 4096;
