//! One utterance through a recogniser, and how far all of them are.

use std::sync::atomic::{AtomicU64, Ordering};

use dalston_audio::AudioTime;
use dalston_engine_sdk::batch::{Spoken, TaskError};
use dalston_engine_sdk::{EngineError, Hypothesis, SAMPLE_RATE, StreamOptions, StreamingEngine, Word};

use crate::recording::Step;
use crate::splitting::Piece;

/// Samples that are given to a recogniser at once: what a cancelled task still waits for, at the most.
const PART: usize = SAMPLE_RATE as usize / 2;

/// Words that show that what may be noise is a voice. Bursts of noise decode to one, now and then two, and its confidence
/// may be as high as that of words that were said.
const WORDS: usize = 3;

/// How far a file is, in samples.
#[derive(Debug, Default)]
pub struct Tally {
    /// Read and parted.
    read: AtomicU64,
    /// In utterances.
    spoken: AtomicU64,
    /// Of those, decoded.
    decoded: AtomicU64,
}

impl Tally {
    pub fn read(&self, step: &Step) {
        self.read.store(step.read.samples(), Ordering::Relaxed);
        let samples = step.piece.as_ref().map_or(0, |piece| piece.samples.len());
        self.spoken.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Silence is done when it is read, speech when it is decoded.
    pub fn share_of(&self, length: AudioTime) -> f64 {
        let [read, spoken, decoded] = [&self.read, &self.spoken, &self.decoded].map(|n| n.load(Ordering::Relaxed));
        let done = read.saturating_sub(spoken.saturating_sub(decoded));
        (done as f64 / length.samples().max(1) as f64).min(1.0)
    }
}

/// What was said in a piece; `None` when there were no words.
pub async fn hear(
    engine: &dyn StreamingEngine,
    options: StreamOptions,
    piece: &Piece,
    tally: &Tally,
) -> Result<Option<Spoken>, TaskError> {
    let mut recognizer = engine.open(options)?;
    let mut parts = piece.samples.chunks(PART);
    let Some(first) = parts.next() else { return Ok(None) };
    // Live sessions have all streams: a file can wait, for as long as its task may take.
    while let Err(error) = recognizer.accept(first, false).await {
        if !matches!(error, EngineError::Busy(_)) {
            return Err(error.into());
        }
    }
    tally.decoded.fetch_add(first.len() as u64, Ordering::Relaxed);
    for part in parts {
        recognizer.accept(part, false).await?;
        tally.decoded.fetch_add(part.len() as u64, Ordering::Relaxed);
    }
    Ok(spoken(piece, recognizer.finish().await?))
}

/// On the clock of the file. Where the engine has no times the piece's own must do.
fn spoken(piece: &Piece, hypothesis: Hypothesis) -> Option<Spoken> {
    let words = hypothesis.text.split(' ').filter(|word| !word.is_empty()).count();
    if words < if piece.doubtful { WORDS } else { 1 } {
        return None;
    }
    let begin = piece.start.seconds();
    let last = begin + AudioTime::from_samples(piece.samples.len() as u64).seconds();
    let at = |time: f64| (begin + time).clamp(begin, last);
    let words: Vec<Word> =
        hypothesis.words.into_iter().map(|word| Word { start: at(word.start), end: at(word.end), ..word }).collect();
    Some(Spoken {
        start: words.first().map_or(begin, |word| word.start),
        end: words.last().map_or(last, |word| word.end),
        text: hypothesis.text,
        confidence: hypothesis.confidence,
        words,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_two_do_not_make_a_voice_of_noise() {
        let check = |doubtful: bool, text: &str, is_kept: bool| {
            let piece = Piece { start: AudioTime::from_millis(1_000), samples: vec![0; 16_000], doubtful };
            let hypothesis = Hypothesis { text: text.to_owned(), ..Hypothesis::default() };
            assert_eq!(spoken(&piece, hypothesis).is_some(), is_kept, "{doubtful} {text:?}");
        };
        check(false, "", false);
        check(false, "if", true);
        check(true, "thank you", false);
        check(true, "the green one right in the middle", true);
    }

    #[test]
    fn times_are_those_of_the_file_and_within_the_piece() {
        let piece = Piece { start: AudioTime::from_millis(2_000), samples: vec![0; 16_000], doubtful: false };
        let word = |start, end| Word { text: "word".to_owned(), start, end, confidence: None };
        let words = vec![word(0.1, 0.4), word(0.5, 1.7)];
        let hypothesis = Hypothesis { text: "word word".to_owned(), words, confidence: None };
        let spoken = spoken(&piece, hypothesis).expect("words");
        assert_eq!((spoken.start, spoken.end), (2.1, 3.0));
        assert_eq!(spoken.words[1], word(2.5, 3.0));
    }
}
