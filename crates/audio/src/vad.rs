//! Voice activity: is this frame speech?
//!
//! One decision per 20 ms [`Frame`], from what has been heard up to its end. Raw decisions: hysteresis, minimum speech and
//! endpointing are the caller's.

mod earshot;
mod webrtc;

use std::fmt;
use std::str::FromStr;

use self::earshot::Earshot;
use self::webrtc::WebRtc;
use crate::{AudioError, Frame};

/// Which detector decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum VadKind {
    /// WebRTC's: Gaussian mixtures over six bands. Cheapest; takes music and loud noise for speech.
    WebRtc,
    /// Earshot's small recurrent network.
    Earshot,
    /// WebRTC decides, earshot must agree.
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

/// A voice activity detector for one channel. Holds what it has heard; `Send`, so a session may move between threads.
#[derive(Debug)]
pub struct Vad(Detector);

#[derive(Debug)]
enum Detector {
    WebRtc(WebRtc),
    Earshot(Earshot),
    Confirmed(WebRtc, Earshot),
}

impl Vad {
    /// A detector that has heard nothing yet.
    #[must_use]
    pub fn new(kind: VadKind) -> Self {
        Self(match kind {
            VadKind::WebRtc => Detector::WebRtc(WebRtc::new()),
            VadKind::Earshot => Detector::Earshot(Earshot::new()),
            VadKind::Confirmed => Detector::Confirmed(WebRtc::new(), Earshot::new()),
        })
    }

    /// Hears the next 20 ms and says whether they are speech. Frames must come in order and without gaps: all detectors
    /// adapt to what they have heard.
    pub fn is_speech(&mut self, frame: &Frame) -> bool {
        match &mut self.0 {
            Detector::WebRtc(webrtc) => webrtc.is_speech(frame),
            Detector::Earshot(earshot) => earshot.score(frame) >= 0.5,
            // Both must hear every frame.
            Detector::Confirmed(webrtc, earshot) => webrtc.is_speech(frame) & (earshot.score(frame) >= 0.5),
        }
    }

    /// Forgets all it has heard.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Detector::WebRtc(webrtc) => webrtc.reset(),
            Detector::Earshot(earshot) => earshot.reset(),
            Detector::Confirmed(webrtc, earshot) => {
                webrtc.reset();
                earshot.reset();
            }
        }
    }
}
