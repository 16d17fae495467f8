//! What the stages of a job hand on. Times are seconds on the clock of the upload.

use serde::{Deserialize, Serialize};

use crate::Word;

/// Result of [`Stage::PREPARE`](super::Stage::PREPARE). Beside it stand the files `audio.wav` (the mix) and, for jobs that
/// take each channel for a speaker, `channel-0.wav`, …; all 16 kHz, mono, 16 bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Length in seconds.
    pub duration: f64,
    /// Channels of the upload.
    pub channels: u8,
    /// Its rate in hertz.
    pub sample_rate: u32,
    /// What it was, as in `mp3` or `pcm_s16le`.
    pub codec: String,
    /// Root mean square of the mix, in dB of full scale; `None` for digital silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loudness_db: Option<f32>,
    /// What the owner of the upload should know of it, such as that it was cut off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Result of [`Stage::TRANSCRIBE`](super::Stage::TRANSCRIBE).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transcribed {
    /// The language it was heard in.
    pub language: String,
    /// `engine/model`.
    pub model: String,
    /// What was said, in order.
    pub segments: Vec<Spoken>,
}

/// Something that was said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spoken {
    /// Beginning.
    pub start: f64,
    /// End.
    pub end: f64,
    /// The words, parted by single spaces.
    pub text: String,
    /// Probability in 0..=1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// The words with times, where the engine has them: on the upload's clock too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// Result of [`Stage::ALIGN`](super::Stage::ALIGN): the segments of the transcription, as many and in the same order, each
/// with its words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Aligned {
    /// The same segments. None has words when the aligner does not speak their language.
    pub segments: Vec<Spoken>,
    /// Positions of those that do not fit the audio: the times of their words are shared out by their length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimated: Vec<usize>,
}

/// Result of [`Stage::DIARIZE`](super::Stage::DIARIZE).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diarized {
    /// How it was found out; shown to the user.
    pub method: String,
    /// Who spoke when, in order. Turns may overlap.
    pub turns: Vec<Turn>,
}

/// A speaker's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Beginning.
    pub start: f64,
    /// End.
    pub end: f64,
    /// Numbered from 0 in the order of their first words.
    pub speaker: u32,
}
