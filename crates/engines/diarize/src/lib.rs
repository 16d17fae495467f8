//! Who spoke when in one channel, by basic means: no model, nothing to download, and errors to match.
//!
//! ```text
//! samples ─▶ cepstra ─▶ units of 250 ms ─▶ segments ─▶ clusters ─▶ speakers
//!            10 ms       speech only       one voice    ΔBIC        Viterbi over the units
//! ```
//!
//! A voice is one Gaussian over twelve mel-frequency cepstral coefficients. Two pieces are one voice when the Bayesian
//! information criterion prefers one Gaussian to two (Chen and Gopalakrishnan, "Speaker, environment and channel change
//! detection and clustering via the Bayesian information criterion", 1998). It tells different voices in clean recordings
//! apart, and does much better when it is told how many there are; it knows nothing of people who talk at once, and is
//! poor on meetings. Where speakers have channels of their own those are exact, and this is not needed.
//!
//! What is held in memory are sums over each unit, 0.4 kB for 250 ms of speech: 60 MB for twelve hours.

#![forbid(unsafe_code)]

mod cepstrum;
mod clustering;
mod gaussian;
mod turns;
mod units;

use dalston_engine_sdk::batch::{Diarized, Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput};

/// What the pipeline calls it.
pub const ENGINE_ID: &str = "diarize";

/// How it says of itself that it found out.
pub const METHOD: &str = "basic (clustering of MFCC by BIC, no voice model): expect errors";

/// Most speakers that are told apart when nobody says how many there are.
const MOST_SPEAKERS: usize = 32;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Diarize;

impl Engine for Diarize {
    fn info(&self) -> EngineInfo {
        EngineInfo::new(ENGINE_ID, Stage::DIARIZE)
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let speakers = input.parameters.num_speakers.map(usize::from);
        let units = units::read(input.audio()?, ctx)?;
        let segments = clustering::segments(&units);
        let voices = clustering::voices(&segments, speakers, MOST_SPEAKERS, ctx)?;
        ctx.check()?;
        let voices = turns::refined(&units, voices);
        let turns = turns::turns(&units, &voices);
        ctx.progress(1.0);
        TaskOutput::of(&Diarized { method: METHOD.to_owned(), turns })
    }
}
