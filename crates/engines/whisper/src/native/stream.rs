//! One stream: utterances live by agreement, or whole.

use dalston_engine_sdk::{EngineError, Hypothesis, NativeStream, Profile, SAMPLE_RATE, StreamOptions, Word};

use super::decoder::{Decoder, Effort, Pass};
use crate::agreement::LocalAgreement;
use crate::languages::AUTO;
use crate::settings::Settings;

/// Characters of what was said before that the model is told.
const PROMPT: usize = 200;
/// A window longer than this is cut at its last words that are final…
const LONG: usize = 10 * SAMPLE_RATE as usize;
/// … of which it keeps these, because words are found again by their text and begin sooner than their times say.
const KEPT_WORDS: usize = 3;
/// A window that no agreement was reached on is taken as it is before it is longer than the model can hear.
const LONGEST: usize = 24 * SAMPLE_RATE as usize;
/// What a window keeps in which nothing was heard.
const KEPT_SILENCE: usize = 2 * SAMPLE_RATE as usize;
/// Audio on which the language of an utterance is settled.
const TELLING: usize = 3 * SAMPLE_RATE as usize;

/// A decoder in the hands of one session.
pub struct WhisperStream {
    decoder: Decoder,
    profile: Profile,
    /// As asked for; `auto` is settled anew for each utterance.
    language: String,
    translate: bool,
    vocabulary: String,
    step: usize,
    utterance: Utterance,
}

/// Where the utterance stands.
#[derive(Default)]
struct Utterance {
    /// Samples since its beginning.
    heard: usize,
    /// The window, which ends now. A live one is bounded by [`LONGEST`]; one of a file by whoever parts the file.
    audio: Vec<f32>,
    /// Samples since the last hypothesis.
    fresh: usize,
    agreement: LocalAgreement,
    /// Its language, once that is settled.
    language: Option<&'static str>,
}

impl WhisperStream {
    /// A stream on a loaded model.
    pub fn new(decoder: Decoder, settings: &Settings, options: &StreamOptions) -> Self {
        let step = (settings.step.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize;
        Self {
            decoder,
            profile: options.profile,
            language: options.language.clone(),
            translate: options.translate,
            vocabulary: glossary(&options.vocabulary),
            step: step.max(SAMPLE_RATE as usize / 10),
            utterance: Utterance::default(),
        }
    }

    /// Whether words are wanted before the utterance ends.
    fn is_live(&self) -> bool {
        self.profile != Profile::Accurate
    }

    /// The words of the window, with their times in the utterance.
    fn hear(&mut self, effort: Effort) -> Result<Vec<Word>, EngineError> {
        let prompt = self.prompt();
        let utterance = &mut self.utterance;
        let language = utterance.language.unwrap_or(&self.language);
        let pass = Pass { language, translate: self.translate, prompt: &prompt, effort };
        let mut words = self.decoder.decode(&utterance.audio, pass)?;
        if language == AUTO && utterance.audio.len() >= TELLING {
            utterance.language = self.decoder.language();
        }
        let before = (utterance.heard - utterance.audio.len()) as f64 / f64::from(SAMPLE_RATE);
        for word in &mut words {
            word.start += before;
            word.end += before;
        }
        utterance.fresh = 0;
        Ok(words)
    }

    /// The vocabulary, and the end of what was said before the window.
    fn prompt(&self) -> String {
        let words: Vec<&str> = self.utterance.agreement.before_window().iter().map(|word| word.text.as_str()).collect();
        let said = words.join(" ");
        let from = said.char_indices().nth_back(PROMPT - 1).map_or(0, |(at, _)| at);
        format!("{}{}", self.vocabulary, &said[from..])
    }

    /// A hypothesis of a live utterance.
    fn listen(&mut self) -> Result<(), EngineError> {
        let words = self.hear(Effort::Draft)?;
        self.utterance.agreement.hear(words);
        self.utterance.shorten();
        Ok(())
    }
}

impl Utterance {
    fn push(&mut self, samples: &[i16]) {
        self.audio.extend(samples.iter().map(|sample| f32::from(*sample) / 32_768.0));
        self.heard += samples.len();
        self.fresh += samples.len();
    }

    /// Lets go of audio whose words are final.
    fn shorten(&mut self) {
        if self.audio.len() < LONG {
            return;
        }
        let mut from = self.agreement.cut(KEPT_WORDS);
        if self.length_from(from) >= LONGEST {
            self.agreement.commit_tail();
            from = self.agreement.cut(0);
        }
        if self.length_from(from) >= LONGEST {
            // Not a word for so long.
            self.audio.drain(..self.audio.len() - KEPT_SILENCE);
            return;
        }
        let length = self.length_from(from);
        self.audio.drain(..self.audio.len() - length);
    }

    /// Samples from that time on, as far as they are still there.
    fn length_from(&self, seconds: Option<f64>) -> usize {
        let Some(seconds) = seconds else { return self.audio.len() };
        let at = (seconds * f64::from(SAMPLE_RATE)) as usize;
        self.heard.saturating_sub(at).min(self.audio.len())
    }
}

impl NativeStream for WhisperStream {
    fn accept(&mut self, mut samples: &[i16]) -> Result<(), EngineError> {
        if !self.is_live() {
            self.utterance.push(samples);
            return Ok(());
        }
        // At the same places of the utterance however it is cut into chunks.
        while !samples.is_empty() {
            let (now, later) = samples.split_at((self.step - self.utterance.fresh).min(samples.len()));
            samples = later;
            self.utterance.push(now);
            if self.utterance.fresh == self.step {
                self.listen()?;
            }
        }
        Ok(())
    }

    fn partial(&mut self) -> Result<Option<Hypothesis>, EngineError> {
        let is_heard = self.is_live() && self.utterance.heard > 0;
        Ok(is_heard.then(|| hypothesis(self.utterance.agreement.words())))
    }

    fn finish(&mut self) -> Result<Hypothesis, EngineError> {
        let words = match self.profile {
            _ if self.utterance.heard == 0 => Vec::new(),
            // What is there is not worth another pass.
            Profile::LowLatency if self.utterance.fresh == 0 => self.utterance.agreement.words(),
            Profile::LowLatency => self.finished(Effort::Draft)?,
            Profile::Balanced => self.finished(Effort::Final)?,
            Profile::Accurate => self.finished(Effort::Whole)?,
        };
        self.utterance = Utterance::default();
        Ok(hypothesis(words))
    }
}

impl WhisperStream {
    fn finished(&mut self, effort: Effort) -> Result<Vec<Word>, EngineError> {
        let words = self.hear(effort)?;
        Ok(std::mem::take(&mut self.utterance.agreement).finish(words))
    }
}

fn hypothesis(words: Vec<Word>) -> Hypothesis {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let text = texts.join(" ");
    let known: Vec<f32> = words.iter().filter_map(|word| word.confidence).collect();
    let confidence = (!known.is_empty()).then(|| known.iter().sum::<f32>() / known.len() as f32);
    Hypothesis { text, words, confidence }
}

/// Phrases as a model is told of them: as if they had just been said.
fn glossary(vocabulary: &[String]) -> String {
    if vocabulary.is_empty() {
        return String::new();
    }
    // A text of C ends at its first zero.
    format!("{}. ", vocabulary.join(", ")).replace('\0', "")
}
