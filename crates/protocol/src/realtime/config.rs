//! What a session is asked to be.

use serde::{Deserialize, Serialize};

use super::ConfigUpdate;
use crate::ApiError;

/// A live session's settings, checked. The defaults are the API's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionConfig {
    /// `pcm_s16le`, `pcm_f32le`, `mulaw` or `alaw`.
    pub encoding: String,
    /// Hertz, 8000 to 48000.
    pub sample_rate: u32,
    /// 1, or 2 interleaved.
    pub channels: u8,
    /// BCP 47 code, or `auto`.
    pub language: String,
    /// Engine or model id; `None` takes any that fits.
    pub model: Option<String>,
    /// Whether silence parts utterances. Without it only `flush` and the length limit do.
    pub enable_vad: bool,
    /// Whether partials are sent.
    pub interim_results: bool,
    /// Whether finals carry words with times.
    pub word_timestamps: bool,
    /// How utterances begin and end.
    pub endpointing: Endpointing,
    /// Phrases that are likely to be said.
    pub vocabulary: Vec<String>,
    /// How long the transcript is kept after the session.
    pub retention: Retention,
    /// Whether the audio is kept too.
    pub store_audio: bool,
}

impl SessionConfig {
    /// Bytes of a second of the client's audio.
    pub fn bytes_per_second(&self) -> usize {
        let width = match self.encoding.as_str() {
            "pcm_f32le" => 4,
            "mulaw" | "alaw" => 1,
            _ => 2,
        };
        width * self.sample_rate as usize * usize::from(self.channels)
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            encoding: "pcm_s16le".into(),
            sample_rate: 16_000,
            channels: 1,
            language: "auto".into(),
            model: None,
            enable_vad: true,
            interim_results: true,
            word_timestamps: false,
            endpointing: Endpointing::default(),
            vocabulary: Vec::new(),
            retention: Retention::default(),
            store_audio: false,
        }
    }
}

/// How utterances begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Endpointing {
    /// Silence that ends an utterance, milliseconds, 100 to 10000.
    pub endpointing_ms: u32,
    /// Speech that begins one, milliseconds, 0 to 2000.
    pub min_speech_ms: u32,
    /// Audio kept from before the speech, milliseconds, 0 to 1000.
    pub prefix_padding_ms: u32,
    /// The longest utterance, seconds, 3 to 60.
    pub max_utterance_s: f64,
}

impl Default for Endpointing {
    fn default() -> Self {
        Self { endpointing_ms: 500, min_speech_ms: 100, prefix_padding_ms: 300, max_utterance_s: 30.0 }
    }
}

impl Endpointing {
    /// The settings with the update's present fields.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn updated(mut self, update: &ConfigUpdate) -> Result<Self, ApiError> {
        let set = |field: &mut u32, value: Option<u32>| *field = value.unwrap_or(*field);
        set(&mut self.endpointing_ms, update.endpointing_ms);
        set(&mut self.min_speech_ms, update.min_speech_ms);
        set(&mut self.prefix_padding_ms, update.prefix_padding_ms);
        self.max_utterance_s = update.max_utterance_s.unwrap_or(self.max_utterance_s);
        self.check()?;
        Ok(self)
    }

    pub(super) fn check(&self) -> Result<(), ApiError> {
        in_range("endpointing_ms", f64::from(self.endpointing_ms), 100.0, 10_000.0)?;
        in_range("min_speech_ms", f64::from(self.min_speech_ms), 0.0, 2_000.0)?;
        in_range("prefix_padding_ms", f64::from(self.prefix_padding_ms), 0.0, 1_000.0)?;
        in_range("max_utterance_s", self.max_utterance_s, 3.0, 60.0)
    }
}

pub(super) fn in_range(name: &str, value: f64, low: f64, high: f64) -> Result<(), ApiError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(ApiError::param(name, format!("{name}={value} is out of range; allowed is {low} to {high}")))
    }
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "i32", try_from = "i32")]
pub enum Retention {
    /// Not at all.
    #[default]
    None,
    /// Until it is deleted.
    Forever,
    /// This many days, 1 to 3650.
    Days(u16),
}

impl From<Retention> for i32 {
    fn from(retention: Retention) -> i32 {
        match retention {
            Retention::None => 0,
            Retention::Forever => -1,
            Retention::Days(days) => days.into(),
        }
    }
}

impl TryFrom<i32> for Retention {
    type Error = String;

    fn try_from(days: i32) -> Result<Self, String> {
        match days {
            0 => Ok(Self::None),
            -1 => Ok(Self::Forever),
            1..=3650 => Ok(Self::Days(days as u16)),
            _ => Err(format!("retention={days} is out of range; allowed is 0, -1 or 1 to 3650 days")),
        }
    }
}
