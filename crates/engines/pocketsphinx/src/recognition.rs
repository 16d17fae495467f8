//! A stream of utterances, and what it learns about a voice.
//!
//! The decoder subtracts the mean of the cepstrum, which depends on the speaker, the microphone and the room. It starts from
//! a mean of its own which fits nobody, and left alone corrects it only when an utterance ends. So the first
//! utterance of a session is decoded from its start once more when [`ENOUGH`] of it has been heard (or when it ends before
//! that), with the mean of what was heard; the mean then goes on to the session's next utterance and stream.

use dalston_engine_sdk::{EngineError, Hypothesis, NativeStream, SAMPLE_RATE};

use crate::decoder::Decoder;
use crate::hypothesis::hypothesis;

/// Samples after which the mean of a voice is used: two seconds. Two and three are within a few words of each other on
/// the recordings tried (which of them is ahead depends on the set), one second was worse on all.
const ENOUGH: usize = 2 * SAMPLE_RATE as usize;

/// Words without which an utterance teaches nothing: noise and music now and then decode to one or two.
const WORDS: usize = 3;

/// A decoder in the hands of one session, for whatever is said.
pub struct Recognition {
    decoder: Decoder,
    utterance: Utterance,
    /// The mean of this session's voice, once it is known.
    voice: Option<Vec<f32>>,
}

/// Where the stream stands.
enum Utterance {
    /// Between utterances.
    None,
    /// The voice is new: what was heard is kept (at most [`ENOUGH`] and a chunk) to be decoded once more.
    Learning(Vec<i16>),
    /// The mean is good; decoding as it comes.
    Settled,
}

impl Recognition {
    /// A stream on a loaded decoder.
    pub fn new(decoder: Decoder) -> Self {
        Self { decoder, utterance: Utterance::None, voice: None }
    }

    fn begin(&mut self) -> Result<(), EngineError> {
        self.utterance = match &self.voice {
            Some(voice) => {
                self.decoder.set_cepstral_mean(voice)?;
                Utterance::Settled
            }
            None => Utterance::Learning(Vec::new()),
        };
        self.decoder.start()
    }

    /// Ends the utterance, which sets the mean to that of the audio heard, and decodes the same audio again.
    fn decode_again(&mut self, heard: &[i16]) -> Result<(), EngineError> {
        self.decoder.end()?;
        self.decoder.start()?;
        self.decoder.process(heard)
    }
}

impl NativeStream for Recognition {
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        if matches!(self.utterance, Utterance::None) {
            self.begin()?;
        }
        self.decoder.process(samples)?;
        if let Utterance::Learning(heard) = &mut self.utterance {
            heard.extend_from_slice(samples);
            if heard.len() >= ENOUGH {
                let heard = std::mem::take(heard);
                self.utterance = Utterance::Settled;
                self.decode_again(&heard)?;
            }
        }
        Ok(())
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        match self.utterance {
            Utterance::None => Ok(None),
            _ => Ok(Some(hypothesis(self.decoder.segments()))),
        }
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        let settled = match std::mem::replace(&mut self.utterance, Utterance::None) {
            Utterance::None => return Ok(Hypothesis::default()),
            Utterance::Learning(heard) => {
                self.decode_again(&heard)?;
                false
            }
            Utterance::Settled => true,
        };
        self.decoder.end()?;
        let hypothesis = hypothesis(self.decoder.segments());
        let mean = self.decoder.cepstral_mean();
        if settled && hypothesis.words.len() >= WORDS && mean.iter().all(|value| value.is_finite()) {
            self.voice = Some(mean);
        }
        Ok(hypothesis)
    }

    fn adaptation(&self) -> Vec<u8> {
        self.voice.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn adapt(&mut self, adaptation: &[u8]) -> Result<(), EngineError> {
        if adaptation.is_empty() {
            return Ok(());
        }
        let (values, rest) = adaptation.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(EngineError::Rejected("an adaptation is a list of 32-bit floats".into()));
        }
        let mean: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        // Tried at once, so that a wrong one is refused here.
        self.decoder.set_cepstral_mean(&mean)?;
        self.voice = Some(mean);
        Ok(())
    }
}
