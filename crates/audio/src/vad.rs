//! Voice activity: is this frame speech?
//!
//! One decision per 20 ms [`Frame`], from what has been heard up to its end. Raw decisions: hysteresis, minimum speech and
//! endpointing are the caller's. docs/vad.md has the measurements behind the default.

mod confirmed;
mod earshot;
mod evidence;
mod texture;
mod webrtc;

use std::fmt;
use std::str::FromStr;

use self::confirmed::Confirmed;
use self::earshot::Earshot;
use self::webrtc::WebRtc;
use crate::{AudioError, Frame};

/// Which detector decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum VadKind {
    /// WebRTC's: Gaussian mixtures over six bands. Cheapest; takes music and loud noise for speech.
    WebRtc,
    /// Earshot's small recurrent network: hardly fooled by noise, but by music; four times the cost.
    Earshot,
    /// WebRTC's decisions, until a trial finds that what sounds is not a voice. See [`Vad::verdict`].
    #[default]
    Confirmed,
}

impl VadKind {
    /// All names, as one would list them in a message.
    pub(crate) const NAMES: &'static str = "webrtc, earshot, confirmed";

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebRtc => "webrtc",
            Self::Earshot => "earshot",
            Self::Confirmed => "confirmed",
        }
    }
}

impl fmt::Display for VadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VadKind {
    type Err = AudioError;

    fn from_str(name: &str) -> Result<Self, AudioError> {
        [Self::WebRtc, Self::Earshot, Self::Confirmed]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| AudioError::UnknownVad(name.to_owned()))
    }
}

/// What a [`Vad`] thinks of the sound that it hears, or else heard last, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Too little was heard of it.
    Undecided,
    /// A voice.
    Speech,
    /// Something else: noise, music.
    NotSpeech,
}

/// A voice activity detector for one channel. Holds what it has heard; `Send`, so a session may move between threads.
#[derive(Debug)]
pub struct Vad(Detector);

#[derive(Debug)]
enum Detector {
    WebRtc(WebRtc),
    Earshot(Box<Earshot>),
    Confirmed(Box<Confirmed>),
}

/// Earshot's score at which a frame is speech.
const EARSHOT_THRESHOLD: f32 = 0.5;

impl Vad {
    /// A detector that has heard nothing yet.
    #[must_use]
    pub fn new(kind: VadKind) -> Self {
        Self(match kind {
            VadKind::WebRtc => Detector::WebRtc(WebRtc::new()),
            VadKind::Earshot => Detector::Earshot(Box::new(Earshot::new())),
            VadKind::Confirmed => Detector::Confirmed(Box::new(Confirmed::new())),
        })
    }

    /// Hears the next 20 ms and says whether they are speech. Frames must come in order and without gaps: all detectors
    /// adapt to what they have heard.
    pub fn is_speech(&mut self, frame: &Frame) -> bool {
        match &mut self.0 {
            Detector::WebRtc(webrtc) => webrtc.is_speech(frame),
            Detector::Earshot(earshot) => earshot.score(frame) >= EARSHOT_THRESHOLD,
            Detector::Confirmed(confirmed) => confirmed.is_speech(frame),
        }
    }

    /// The second opinion of [`VadKind::Confirmed`]; the other kinds have none and always say [`Verdict::Speech`].
    ///
    /// A sound is everything between two silences of half a second. It is `Undecided` at first, for half a second of voice at
    /// the least; a short word ends so. So that noise and music give no words, show no words of an utterance before it had
    /// a verdict of `Speech`, and drop one that has had none when it ends and then has `NotSpeech`.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.0 {
            Detector::WebRtc(_) | Detector::Earshot(_) => Verdict::Speech,
            Detector::Confirmed(confirmed) => confirmed.verdict(),
        }
    }

    /// Forgets all it has heard.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Detector::WebRtc(webrtc) => webrtc.reset(),
            Detector::Earshot(earshot) => earshot.reset(),
            Detector::Confirmed(confirmed) => confirmed.reset(),
        }
    }
}
