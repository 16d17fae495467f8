//! One stream: utterances as they come, or whole.

use dalston_engine_sdk::{EngineError, Hypothesis, NativeStream, SAMPLE_RATE};
use sherpa_onnx::OnlineStream;

use super::Recognizer;
use super::load::Punctuation;
use crate::words::{hypothesis, punctuated};

/// Silence after an utterance, without which a streaming network keeps its last words to itself: longer than its chunk.
const TAIL: usize = SAMPLE_RATE as usize * 4 / 5;
const RATE: i32 = SAMPLE_RATE as i32;

/// A model in the hands of one session.
pub struct SherpaStream {
    recognizer: Recognizer,
    punctuation: Option<Punctuation>,
    utterance: Option<Utterance>,
}

struct Utterance {
    samples: usize,
    heard: Heard,
}

enum Heard {
    Streaming(OnlineStream),
    /// Bounded by whoever parts utterances.
    Whole(Vec<f32>),
}

impl SherpaStream {
    pub(super) fn new(recognizer: Recognizer, punctuation: Option<Punctuation>) -> Self {
        Self { recognizer, punctuation, utterance: None }
    }

    fn result(&self, stream: &OnlineStream, length: f64) -> Hypothesis {
        let Recognizer::Streaming(recognizer) = &self.recognizer else { return Hypothesis::default() };
        let result = recognizer.get_result(stream);
        result.map_or_else(Hypothesis::default, |result| {
            hypothesis(&result.text, &result.tokens, result.timestamps.as_deref(), length)
        })
    }
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

impl NativeStream for SherpaStream {
    fn accept(&mut self, samples: &[i16]) -> Result<(), EngineError> {
        let recognizer = &self.recognizer;
        let utterance = self.utterance.get_or_insert_with(|| Utterance {
            samples: 0,
            heard: match recognizer {
                Recognizer::Streaming(recognizer) => Heard::Streaming(recognizer.create_stream()),
                Recognizer::Whole(_) => Heard::Whole(Vec::new()),
            },
        });
        utterance.samples += samples.len();
        let samples = samples.iter().map(|sample| f32::from(*sample) / 32_768.0);
        match (&mut utterance.heard, recognizer) {
            (Heard::Streaming(stream), Recognizer::Streaming(recognizer)) => {
                stream.accept_waveform(RATE, &samples.collect::<Vec<_>>());
                while recognizer.is_ready(stream) {
                    recognizer.decode(stream);
                }
            }
            (Heard::Whole(audio), _) => audio.extend(samples),
            (Heard::Streaming(_), Recognizer::Whole(_)) => {}
        }
        Ok(())
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        Ok(match &self.utterance {
            Some(Utterance { samples, heard: Heard::Streaming(stream) }) => {
                Some(self.result(stream, seconds(*samples)))
            }
            _ => None,
        })
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        let Some(Utterance { samples, heard }) = self.utterance.take() else { return Ok(Hypothesis::default()) };
        let length = seconds(samples);
        let heard = match (heard, &self.recognizer) {
            (Heard::Streaming(stream), Recognizer::Streaming(recognizer)) => {
                stream.accept_waveform(RATE, &[0.0; TAIL]);
                stream.input_finished();
                while recognizer.is_ready(&stream) {
                    recognizer.decode(&stream);
                }
                self.result(&stream, length)
            }
            (Heard::Whole(audio), Recognizer::Whole(recognizer)) => {
                let stream = recognizer.create_stream();
                stream.accept_waveform(RATE, &audio);
                recognizer.decode(&stream);
                stream.get_result().map_or_else(Hypothesis::default, |result| {
                    hypothesis(&result.text, &result.tokens, result.timestamps.as_deref(), length)
                })
            }
            _ => Hypothesis::default(),
        };
        let marked =
            self.punctuation.as_ref().filter(|_| !heard.text.is_empty()).and_then(|model| model.apply(&heard.text));
        Ok(match marked {
            Some(text) => punctuated(heard, &text),
            None => heard,
        })
    }
}
