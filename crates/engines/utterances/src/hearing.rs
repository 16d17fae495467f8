//! One utterance through a recogniser, and how far all of them are.

use std::sync::atomic::{AtomicU64, Ordering};

use dalston_audio::AudioTime;
use dalston_engine_sdk::batch::{Spoken, TaskError};
use dalston_engine_sdk::{EngineError, Hypothesis, SAMPLE_RATE, StreamOptions, StreamingEngine, Word};

use crate::recording::Step;
use crate::splitting::Piece;

/// Samples that are given to a recogniser at once: what a cancelled task still waits for, at the most.
const PART: usize = SAMPLE_RATE as usize / 2;

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
    if hypothesis.text.is_empty() {
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
