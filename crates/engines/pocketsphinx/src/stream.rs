//! A stream of the engine: for what is said, or for the times of what was said.

use dalston_engine_sdk::{EngineError, Hypothesis, NativeStream};

use crate::alignment::Alignment;
use crate::recognition::Recognition;

/// One of the two.
pub enum PocketSphinxStream {
    /// Hears words.
    Recognition(Recognition),
    /// Hears when each word of a text was said.
    Alignment(Alignment),
}

impl PocketSphinxStream {
    fn inner(&self) -> &dyn NativeStream {
        match self {
            Self::Recognition(stream) => stream,
            Self::Alignment(stream) => stream,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn NativeStream {
        match self {
            Self::Recognition(stream) => stream,
            Self::Alignment(stream) => stream,
        }
    }
}

impl NativeStream for PocketSphinxStream {
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        self.inner_mut().accept(samples)
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        self.inner_mut().partial()
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        self.inner_mut().finish()
    }

    fn adaptation(&self) -> Vec<u8> {
        self.inner().adaptation()
    }

    fn adapt(&mut self, adaptation: &[u8]) -> Result<(), EngineError> {
        self.inner_mut().adapt(adaptation)
    }
}
