//! The detectors that are compared.

use dalston_audio::{Frame, Vad, VadKind, Verdict};
use webrtc_vad::{SampleRate, VadMode};

#[derive(Clone, Copy)]
pub enum Candidate {
    /// WebRTC's, in one of its four modes.
    WebRtc(u8),
    /// Earshot, at a threshold.
    Earshot(f32),
    /// A frame that both call speech.
    Both(u8, f32),
    /// As it is built in.
    BuiltIn(VadKind),
}

/// Hears a frame; whether it is speech, and the verdict on the sound.
pub type Hear = Box<dyn FnMut(&Frame) -> (bool, Verdict)>;

pub const ALL: [Candidate; 12] = [
    Candidate::WebRtc(0),
    Candidate::WebRtc(1),
    Candidate::WebRtc(2),
    Candidate::WebRtc(3),
    Candidate::Earshot(0.3),
    Candidate::Earshot(0.5),
    Candidate::Earshot(0.7),
    Candidate::Earshot(0.9),
    Candidate::Both(1, 0.5),
    Candidate::Both(2, 0.5),
    Candidate::Both(2, 0.7),
    Candidate::BuiltIn(VadKind::Confirmed),
];

impl Candidate {
    pub fn name(self) -> String {
        match self {
            Self::WebRtc(mode) => format!("webrtc, mode {mode}"),
            Self::Earshot(threshold) => format!("earshot ≥ {threshold}"),
            Self::Both(mode, threshold) => format!("webrtc {mode} and earshot ≥ {threshold}"),
            Self::BuiltIn(kind) => format!("**{kind}**"),
        }
    }

    pub fn build(self) -> Hear {
        match self {
            Self::WebRtc(mode) => {
                let mut webrtc = webrtc(mode);
                Box::new(move |frame| (webrtc(frame), Verdict::Speech))
            }
            Self::Earshot(threshold) => {
                let mut score = earshot();
                Box::new(move |frame| (score(frame) >= threshold, Verdict::Speech))
            }
            Self::Both(mode, threshold) => {
                let (mut webrtc, mut score) = (webrtc(mode), earshot());
                Box::new(move |frame| (webrtc(frame) & (score(frame) >= threshold), Verdict::Speech))
            }
            Self::BuiltIn(kind) => {
                let mut vad = Vad::new(kind);
                Box::new(move |frame| (vad.is_speech(frame), vad.verdict()))
            }
        }
    }
}

fn webrtc(mode: u8) -> impl FnMut(&Frame) -> bool {
    let mode = match mode {
        0 => VadMode::Quality,
        1 => VadMode::LowBitrate,
        2 => VadMode::Aggressive,
        _ => VadMode::VeryAggressive,
    };
    let mut vad = webrtc_vad::Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, mode);
    move |frame| vad.is_voice_segment(frame).expect("20 ms are one of its lengths")
}

/// Asked every 20 ms; the highest score of the 16 ms windows that the frame completes.
fn earshot() -> impl FnMut(&Frame) -> f32 {
    let mut detector = earshot::Detector::default_boxed();
    let mut pending = Vec::new();
    move |frame| {
        pending.extend_from_slice(frame);
        let score = pending.chunks_exact(256).map(|window| detector.predict_i16(window)).fold(0.0, f32::max);
        pending.drain(..pending.len() / 256 * 256);
        score
    }
}
