//! Live sessions: each utterance is one request, made when it has ended.

use std::{sync::Arc, time::Duration};

use dalston_engine_sdk::{Capabilities, EngineError, Hypothesis, Recognizer, StreamOptions, StreamingEngine};
use dalston_telemetry::Component;
use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Remote,
    error::CallError,
    recording::RATE,
    server::{Question, Server},
};

/// Longest wait for an utterance's words. Who listens live gives up long before.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest utterance, in samples: five minutes. Sessions part them long before.
const LONGEST: usize = 300 * RATE as usize;

impl StreamingEngine for Remote {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn open(&self, options: StreamOptions) -> Result<Box<dyn Recognizer>, EngineError> {
        let Capabilities { languages, .. } = &self.capabilities;
        let wanted = &options.language;
        let language = languages.resolve(wanted).ok_or_else(|| {
            let name = self.capabilities.full_name();
            EngineError::Rejected(format!("{name} does not know the language `{wanted}` but {languages:?}"))
        })?;
        let question = Question {
            language,
            vocabulary: options.vocabulary,
            translate: false,
            caller: options.caller,
            component: Component::Realtime,
        };
        Ok(Box::new(Utterance { server: self.server.clone(), question, samples: Vec::new() }))
    }
}

/// The utterance of a stream, so far.
struct Utterance {
    server: Arc<Server>,
    question: Question,
    samples: Vec<i16>,
}

impl Utterance {
    fn hear(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        if self.samples.len() + samples.len() > LONGEST {
            self.reset();
            return Err(EngineError::Rejected(format!("an utterance is longer than {} s", LONGEST / RATE as usize)));
        }
        self.samples.extend_from_slice(samples);
        Ok(())
    }

    async fn words(&mut self) -> Result<Hypothesis, EngineError> {
        let samples = std::mem::take(&mut self.samples);
        let length = samples.len() as f64 / f64::from(RATE);
        let reply = match self.server.ask(&self.question, samples.clone(), PATIENCE).await {
            // It is asked for less from now on, and is told so once.
            Err(CallError::TextAlone) => self.server.ask(&self.question, samples, PATIENCE).await,
            reply => reply,
        };
        Ok(reply?.hypothesis(length))
    }
}

impl Recognizer for Utterance {
    fn accept<'a>(
        &'a mut self,
        samples: &'a [i16],
        _want_partial: bool,
    ) -> BoxFuture<'a, Result<Option<Hypothesis>, EngineError>> {
        std::future::ready(self.hear(samples).map(|()| None)).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Hypothesis, EngineError>> {
        self.words().boxed()
    }

    fn reset(&mut self) {
        self.samples = Vec::new();
    }
}
