//! The seam between the realtime worker and whatever recognises speech.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Capabilities, EngineError, Hypothesis};

/// What a stream is opened for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOptions {
    /// A code out of the engine's [`Capabilities::languages`], resolved.
    pub language: String,
    /// Speed against accuracy.
    pub profile: Profile,
    /// Phrases that are likely to be said; a hint, never a restriction.
    pub vocabulary: Vec<String>,
    /// What was said, for engines with [`Capabilities::alignment`]: an utterance then ends with exactly these words, parted
    /// by white space, each with its times; a part without a sound has those of its neighbour and no length. One that does not
    /// fit the audio is [`EngineError::Rejected`]. At most [`MAX_TEXT`] bytes; other engines may pass it by.
    pub text: Option<String>,
    /// Write English whatever is spoken, for engines with [`Capabilities::translation`]; others pass it by.
    pub translate: bool,
    /// For whom the engine works.
    pub caller: Caller,
}

/// For whom an engine works: what goes along with its requests to other servers. Engines that make none pass it by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// A W3C `traceparent`, where there is a trace.
    pub traceparent: Option<String>,
    /// The request that all this is for.
    pub request_id: String,
}

/// Most bytes of a text to align: minutes of the fastest speech.
pub const MAX_TEXT: usize = 16 * 1024;

/// Speed against accuracy, for engines that have a choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The final comes as soon as the utterance ends.
    LowLatency,
    /// A little later, with fewer errors.
    #[default]
    Balanced,
    /// As few errors as the engine can do: for files. May take half of the audio's length, and gives way to the others.
    Accurate,
}

/// An engine that hears live audio. One value serves all sessions of a worker.
pub trait StreamingEngine: Send + Sync + 'static {
    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Opens a recogniser for one channel of one session. Cheap: whatever is scarce (a process, a model's slot) is taken at
    /// [`Recognizer::begin`] and given back at the utterance's end.
    ///
    /// # Errors
    /// [`EngineError::Rejected`] when the options cannot be served.
    fn open(&self, options: StreamOptions) -> Result<Box<dyn Recognizer>, EngineError>;
}

/// One channel of one session. The caller awaits each call before the next, and may drop the recogniser at any time, also
/// while a call is pending: that abandons the utterance and frees what it held.
///
/// After an error the utterance is over; the next `accept` begins another one.
pub trait Recognizer: Send {
    /// Takes what an utterance needs and others need too, such as one of a bounded number of streams, and waits for its turn.
    /// Called before the first `accept` of an utterance, which does it itself when this was not called.
    ///
    /// Apart from `accept`, because waiting for one's turn says nothing against the engine: the caller bounds every other call
    /// by the time after which it takes the engine to hang, and leaves this one to the engine.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when its turn does not come in the time that the engine bears.
    fn begin(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Takes more of the current utterance, 16 kHz mono. Resolves when the engine has *decoded* it, which is what lag is
    /// measured by. Gives a partial hypothesis when `want_partial` is set and the engine has one.
    fn accept<'a>(
        &'a mut self,
        samples: &'a [i16],
        want_partial: bool,
    ) -> BoxFuture<'a, Result<Option<Hypothesis>, EngineError>>;

    /// Ends the utterance and gives its words.
    fn finish(&mut self) -> BoxFuture<'_, Result<Hypothesis, EngineError>>;

    /// Abandons the utterance without a result. Frees what it held.
    fn reset(&mut self);
}
