//! One channel of one session, over as many streams as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dalston_engine_sdk::{EngineError, Hypothesis, Profile, Recognizer, SAMPLE_RATE, StreamOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::engine::Shared;
use super::pool::Slot;
use super::stream::{Fault, Stream};
use crate::wire::{Answer, Message, Request};

/// Most samples in one request: half a second, so that an answer is never long in coming.
const PART: usize = SAMPLE_RATE as usize / 2;

/// How much longer a stream of [`Profile::Accurate`] may take for an answer.
const UNHURRIED: u32 = 5;

/// A recogniser whose engine is another process.
pub struct HostedRecognizer {
    shared: Arc<Shared>,
    options: Arc<StreamOptions>,
    /// What the session's last stream learned.
    adaptation: Vec<u8>,
    /// Taken out during each call, so that an error, or a call that is dropped half-way, ends the utterance.
    utterance: Option<Utterance>,
}

/// An utterance, its place in the pool, and its audio for the case that its stream is lost.
struct Utterance {
    slot: Slot,
    stream: Option<Stream>,
    audio: Vec<i16>,
    /// Samples of `audio` that the stream has decoded.
    decoded: usize,
    /// Whether `audio` is all of it: a longer one than is kept cannot be decoded again.
    whole: bool,
    replays: u32,
}

impl HostedRecognizer {
    pub fn new(shared: Arc<Shared>, options: StreamOptions) -> Self {
        Self { shared, options: Arc::new(options), adaptation: Vec::new(), utterance: None }
    }

    async fn hear(&mut self, samples: &[i16], want_partial: bool) -> Result<Option<Hypothesis>, EngineError> {
        if samples.is_empty() && self.utterance.is_none() {
            return Ok(None);
        }
        let mut utterance = match self.utterance.take() {
            Some(utterance) => utterance,
            None => self.turn().await?,
        };
        utterance.keep(samples, self.shared.replay_samples());
        let partial = loop {
            match self.decode(&mut utterance, want_partial).await {
                Ok(partial) => break partial,
                Err(fault) => self.lose(&mut utterance, fault)?,
            }
        };
        self.utterance = Some(utterance);
        Ok(partial)
    }

    async fn end(&mut self) -> Result<Hypothesis, EngineError> {
        // One that got its turn and nothing to hear needs no stream to end it.
        let Some(mut utterance) = self.utterance.take().filter(|utterance| !utterance.audio.is_empty()) else {
            return Ok(Hypothesis::default());
        };
        loop {
            match self.finish(&mut utterance).await {
                Ok(hypothesis) => return Ok(hypothesis),
                Err(fault) => self.lose(&mut utterance, fault)?,
            }
        }
    }

    /// A place in the pool, and an utterance for it.
    async fn turn(&self) -> Result<Utterance, EngineError> {
        let slot = self.shared.slot().await?;
        let replays = self.shared.config.limits.replays;
        Ok(Utterance { slot, stream: None, audio: Vec::new(), decoded: 0, whole: true, replays })
    }

    /// Has the stream decode what it has not decoded, on a fresh stream if there is none.
    async fn decode(&self, utterance: &mut Utterance, want_partial: bool) -> Result<Option<Hypothesis>, Fault> {
        let mut partial = None;
        let mut first = Vec::new();
        if utterance.stream.is_none() {
            let stream = self.shared.fork(&self.options, &utterance.slot).await.map_err(Fault::Engine)?;
            utterance.stream = Some(stream);
            if !self.adaptation.is_empty() {
                first = Request::Adapt(self.adaptation.clone()).frame();
            }
        }
        let Some(stream) = &mut utterance.stream else { return Ok(None) };
        // A partial can be wanted of what is decoded already.
        let mut asked = !want_partial;
        while utterance.decoded < utterance.audio.len() || !asked {
            let end = (utterance.decoded + PART).min(utterance.audio.len());
            let is_last = end == utterance.audio.len();
            let samples = &utterance.audio[utterance.decoded..end];
            first.extend(Request::audio_frame(samples, want_partial && is_last));
            match stream.ask(&first, self.unhurried(self.shared.config.limits.answer)).await? {
                Answer::Decoded(hypothesis) => partial = hypothesis,
                other => return Err(out_of_turn(&other)),
            }
            first.clear();
            utterance.decoded = end;
            asked |= is_last;
        }
        Ok(partial)
    }

    async fn finish(&mut self, utterance: &mut Utterance) -> Result<Hypothesis, Fault> {
        self.decode(utterance, false).await?;
        let Some(mut stream) = utterance.stream.take() else { return Ok(Hypothesis::default()) };
        match stream.ask(&Request::Finish.frame(), self.unhurried(self.shared.config.limits.finish)).await? {
            Answer::Final { hypothesis, adaptation } => {
                stream.finish();
                if !adaptation.is_empty() {
                    self.adaptation = adaptation;
                }
                Ok(hypothesis)
            }
            other => Err(out_of_turn(&other)),
        }
    }

    /// A limit for a stream of live audio, or longer for one that searches more and gives way to those.
    fn unhurried(&self, limit: Duration) -> Duration {
        if self.options.profile == Profile::Accurate { limit * UNHURRIED } else { limit }
    }

    /// Gets the utterance ready to be decoded again, or gives it up.
    fn lose(&self, utterance: &mut Utterance, fault: Fault) -> Result<(), EngineError> {
        let error = match fault {
            Fault::Lost(error) if utterance.whole && utterance.replays > 0 => error,
            Fault::Engine(error) | Fault::Lost(error) => return Err(error),
        };
        tracing::warn!(%error, "stream lost, decoding its utterance again");
        self.shared.pool.replays.fetch_add(1, Ordering::Relaxed);
        utterance.replays -= 1;
        utterance.decoded = 0;
        utterance.stream = None;
        Ok(())
    }
}

impl Utterance {
    fn keep(&mut self, samples: &[i16], most: usize) {
        if self.audio.len() + samples.len() > most {
            // What was decoded is let go; what is lost from now on stays lost.
            self.audio.drain(..self.decoded);
            self.decoded = 0;
            self.whole = false;
        }
        self.audio.extend_from_slice(samples);
    }
}

fn out_of_turn(answer: &Answer) -> Fault {
    let what = match answer {
        Answer::Decoded(_) => "a partial",
        Answer::Final { .. } => "a final",
        Answer::Failed(_) => "a failure",
    };
    Fault::Lost(EngineError::Died(format!("it answered {what} out of turn")))
}

impl Recognizer for HostedRecognizer {
    fn begin(&mut self) -> BoxFuture<'_, Result<(), EngineError>> {
        async {
            if self.utterance.is_none() {
                self.utterance = Some(self.turn().await?);
            }
            Ok(())
        }
        .boxed()
    }

    fn accept<'a>(
        &'a mut self,
        samples: &'a [i16],
        want_partial: bool,
    ) -> BoxFuture<'a, Result<Option<Hypothesis>, EngineError>> {
        self.hear(samples, want_partial).boxed()
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<Hypothesis, EngineError>> {
        self.end().boxed()
    }

    fn reset(&mut self) {
        self.utterance = None;
    }
}
