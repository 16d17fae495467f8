//! What a job is asked to do.

use serde::{Deserialize, Serialize};

use crate::realtime::Retention;

/// Most terms of a vocabulary …
pub const MAX_VOCABULARY_TERMS: usize = 100;
/// … and most characters of one.
pub const MAX_VOCABULARY_TERM: usize = 50;

/// What a job is asked to do. Kept with the job and given to its engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobParameters {
    /// Engine or model, as `model=` names it; `None` takes the default.
    pub model: Option<String>,
    /// A code the model has, or `auto`.
    pub language: String,
    /// Whether the text is to be English, whatever was spoken.
    pub translate: bool,
    /// Phrases that are likely to be said.
    pub vocabulary: Vec<String>,
    /// How fine the times in the transcript are.
    pub timestamps_granularity: Granularity,
    /// How it is found out who speaks.
    pub speaker_detection: SpeakerDetection,
    /// How many speakers there are, where that is known: 1 to 32.
    pub num_speakers: Option<u8>,
    /// How long transcript and audio are kept after the job ended. [`Retention::None`] removes the audio at the end of the
    /// job and the transcript an hour later, so that it can be fetched.
    pub retention: Retention,
}

impl Default for JobParameters {
    fn default() -> Self {
        Self {
            model: None,
            language: "auto".into(),
            translate: false,
            vocabulary: Vec::new(),
            timestamps_granularity: Granularity::default(),
            speaker_detection: SpeakerDetection::default(),
            num_speakers: None,
            retention: Retention::Days(30),
        }
    }
}

/// How fine the times in a transcript are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// Text alone.
    None,
    /// Start and end of each segment.
    #[default]
    Segment,
    /// Of each word too.
    Word,
}

/// How it is found out who speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeakerDetection {
    /// Not at all; channels are mixed into one.
    #[default]
    None,
    /// By voice, in the mix of all channels.
    Diarize,
    /// Each channel is a speaker.
    PerChannel,
}
