//! One call of whisper.cpp: audio in, words out.

use std::ffi::c_int;
use std::num::NonZeroUsize;

use dalston_engine_sdk::{EngineError, SAMPLE_RATE, Word};
use whisper_rs::{FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperState};

use crate::settings::Installation;
use crate::words::{Token, Words};

/// Less than this the library does not hear.
pub const SHORTEST: usize = SAMPLE_RATE as usize / 10;
/// Positions of the encoder's output for a second.
const POSITIONS: usize = 50;
/// Fewer positions than for seven seconds cost many words, however short the audio is.
const FEWEST_POSITIONS: usize = 384;
/// What is left free behind the audio, so that it is heard to end.
const SPARE_POSITIONS: usize = 64;

/// Tokens of a second of the fastest speech. A model that is stuck would say the same word until it has no room for
/// more.
const TOKENS: usize = 12;
/// The beam of what stays.
const BEAM: c_int = 5;

/// How a stretch of audio is decoded.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// A code, or `auto`.
    pub language: &'a str,
    /// Whether English is to be written whatever is spoken.
    pub translate: bool,
    /// What was said before, or may be said.
    pub prompt: &'a str,
    /// How well.
    pub effort: Effort,
}

/// Speed against accuracy of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Greedy, once, in as much of the encoder as the audio needs: for what is soon replaced or wanted at once.
    Draft,
    /// With a beam, and again at higher temperatures where the model is stuck or unsure.
    Final,
    /// The same in the whole of the encoder, which it was trained in.
    Whole,
}

/// A model, and the caches of one stream.
pub struct Decoder {
    context: WhisperContext,
    state: WhisperState,
    threads: c_int,
}

impl Decoder {
    pub fn load(installation: &Installation, threads: NonZeroUsize) -> Result<Self, EngineError> {
        let refused = |what: &str| EngineError::Failed(format!("whisper.cpp {what} {}", installation.path.display()));
        let context = WhisperContext::new_with_params(&installation.path, WhisperContextParameters::default())
            .map_err(|_| refused("refuses the model"))?;
        let state = context.create_state().map_err(|_| refused("has not enough memory for the model"))?;
        Ok(Self { context, state, threads: c_int::try_from(threads.get()).unwrap_or(c_int::MAX) })
    }

    /// The words, with their times in the audio.
    pub fn decode(&mut self, audio: &[f32], pass: Pass<'_>) -> Result<Vec<Word>, EngineError> {
        if audio.len() < SHORTEST {
            return Ok(Vec::new());
        }
        let params = self.params(audio.len(), pass);
        self.state.full(params, audio).map_err(|error| EngineError::Failed(format!("whisper.cpp: {error}")))?;
        let end_of_text = self.context.token_eot();
        let mut words = Words::default();
        for segment in self.state.as_iter() {
            for token in (0..segment.n_tokens()).filter_map(|at| segment.get_token(at)) {
                // Marks of time, language and task come after all tokens of text.
                let data = token.token_data();
                if data.id < end_of_text {
                    let bytes =
                        token.to_bytes().map_err(|_| EngineError::Failed("a token without a text".to_owned()))?;
                    let (start, end) = (seconds(data.t0), seconds(data.t1));
                    words.push(&Token { bytes: bytes.to_vec(), start, end, probability: data.p });
                }
            }
            words.end_word();
        }
        Ok(words.finish(audio.len() as f64 / f64::from(SAMPLE_RATE)))
    }

    /// The language of the last pass.
    pub fn language(&self) -> Option<&'static str> {
        whisper_rs::get_lang_str(self.state.full_lang_id_from_state())
    }

    fn params<'a>(&self, samples: usize, pass: Pass<'a>) -> FullParams<'a, 'a> {
        let strategy = match pass.effort {
            Effort::Draft => SamplingStrategy::Greedy { best_of: 1 },
            Effort::Final | Effort::Whole => SamplingStrategy::BeamSearch { beam_size: BEAM, patience: -1.0 },
        };
        let mut params = FullParams::new(strategy);
        params.set_n_threads(self.threads);
        params.set_language(Some(pass.language));
        params.set_translate(pass.translate);
        // The prompt is all that one call knows of another.
        params.set_no_context(true);
        if !pass.prompt.is_empty() {
            params.set_initial_prompt(pass.prompt);
        }
        params.set_token_timestamps(true);
        params.set_suppress_nst(true);
        params.set_print_special(false);
        params.set_print_progress(false);
        params.set_print_realtime(false);
        params.set_print_timestamps(false);
        if pass.effort != Effort::Whole {
            params.set_single_segment(true);
            params.set_audio_ctx(positions(samples, self.context.model_n_audio_ctx()));
            let tokens = samples.div_ceil(SAMPLE_RATE as usize) * TOKENS + TOKENS;
            params.set_max_tokens(c_int::try_from(tokens).unwrap_or(c_int::MAX));
        }
        if pass.effort == Effort::Draft {
            params.set_temperature_inc(0.0);
        }
        params
    }
}

/// Positions of the encoder for so much audio, of those that it has.
fn positions(samples: usize, all: c_int) -> c_int {
    let seconds = samples.div_ceil(SAMPLE_RATE as usize);
    let needed = (seconds * POSITIONS + SPARE_POSITIONS).next_multiple_of(64).max(FEWEST_POSITIONS);
    c_int::try_from(needed).unwrap_or(all).min(all)
}

/// From the library's hundredths; what has no time is negative there.
fn seconds(hundredths: i64) -> f64 {
    hundredths.max(0) as f64 / 100.0
}
