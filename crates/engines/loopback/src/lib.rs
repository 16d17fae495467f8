//! A deterministic engine for load and fault tests. **It does not recognise speech.**
//!
//! Its words are made from voiced time: every 300 ms of sound that is loud enough give one word, chosen by a checksum of those
//! samples. So the same audio gives the same words however it is cut, other audio gives others, and a lost or doubled
//! sample shows. It uses no thread and next to no time, so thousands of streams fit into one process, and it can be told to
//! be slow, to hang, to fail and to panic ([`Behaviour`]).

#![forbid(unsafe_code)]

mod behaviour;
mod words;

use dalston_engine_sdk::{
    Capabilities, EngineError, Hypothesis, Languages, Recognizer, StreamOptions, StreamingEngine,
};
use futures_util::{FutureExt, future::BoxFuture};

pub use behaviour::{Behaviour, InvalidBehaviour};
use behaviour::{Deed, Utterances};
use words::Words;

/// What `--engine` and `model=` call it.
pub const ENGINE_ID: &str = "loopback";

/// The engine.
#[derive(Debug)]
pub struct Loopback {
    capabilities: Capabilities,
    behaviour: Behaviour,
    utterances: Utterances,
}

impl Loopback {
    /// An engine that behaves so.
    pub fn new(behaviour: Behaviour) -> Self {
        let capabilities = Capabilities {
            engine_id: ENGINE_ID.into(),
            model: "words-from-voiced-time".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            languages: Languages::any(),
            partials: true,
            word_timestamps: !behaviour.untimed,
            confidence: true,
            vocabulary: false,
            punctuation: false,
            alignment: false,
            translation: false,
            max_streams: None,
        };
        Self { capabilities, behaviour, utterances: Utterances::default() }
    }
}

impl StreamingEngine for Loopback {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn open(&self, _: StreamOptions) -> Result<Box<dyn Recognizer>, EngineError> {
        let (behaviour, utterances) = (self.behaviour, self.utterances.clone());
        Ok(Box::new(Stream { behaviour, utterances, deed: None, words: Words::default() }))
    }
}

#[derive(Debug)]
struct Stream {
    behaviour: Behaviour,
    utterances: Utterances,
    /// What this utterance comes to; settled at its first audio.
    deed: Option<Deed>,
    words: Words,
}

impl Stream {
    async fn hear(&mut self, samples: &[i16], want_partial: bool) -> Result<Option<Hypothesis>, EngineError> {
        let deed = *self.deed.get_or_insert_with(|| self.utterances.begin(&self.behaviour));
        let time = self.behaviour.time_for(samples.len());
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        match deed {
            Deed::Words => {}
            Deed::Stall => std::future::pending().await,
            Deed::Fail => {
                self.reset();
                return Err(EngineError::Failed("loopback was told to".into()));
            }
            Deed::Panic => panic!("loopback was told to"),
        }
        self.words.hear(samples);
        Ok(want_partial.then(|| self.words.so_far()))
    }
}

impl Recognizer for Stream {
    fn accept<'a>(
        &'a mut self,
        samples: &'a [i16],
        want_partial: bool,
    ) -> BoxFuture<'a, Result<Option<Hypothesis>, EngineError>> {
        self.hear(samples, want_partial).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Hypothesis, EngineError>> {
        let mut hypothesis = std::mem::take(&mut self.words).finish();
        if self.behaviour.untimed {
            hypothesis.words.clear();
        }
        self.deed = None;
        std::future::ready(Ok(hypothesis)).boxed()
    }

    fn reset(&mut self) {
        self.deed = None;
        self.words = Words::default();
    }
}
