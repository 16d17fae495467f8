//! WebRTC's detector hears that something sounds; whether it is a voice is tried on the evidence while it sounds.
//!
//! WebRTC's decisions are quick and cheap, and right about where speech begins and ends, but loud noise and most music are
//! speech to it. So every sound stands trial from its first frame. Its frames count as speech meanwhile, for a trial takes
//! half a second at least. A sound that is found to be a voice is not listened to closely for ten seconds: earshot and the
//! spectrum cost several times what WebRTC's detector does. One that has not been a voice for three seconds is shut out.

use super::Verdict;
use super::earshot::Earshot;
use super::evidence::Evidence;
use super::texture::Texture;
use super::webrtc::WebRtc;
use crate::Frame;

/// Silence that ends a sound, in frames: half a second.
const PAUSE: u32 = 25;
/// Silence after which a trial that is open closes on what it has: 100 ms.
const CLOSING: u32 = 5;
/// The first scores after earshot was woken rest on less context than it was trained with.
const WARM_UP: u32 = 5;
/// Frames of a voice after which it is tried again: ten seconds.
const TRUST: u32 = 500;

/// Log odds at which a sound is found to be a voice, after half a second of it.
const ACQUIT: f32 = 2.0;
/// The same for a sound that was shut out: it is continuous, and over hours of it chance has many tries.
const READMIT: f32 = 3.0;
const ACQUIT_AFTER: u32 = 25;
/// Log odds at which it seems not to be one, after a second of it. Farther from zero: speech that is dropped is lost.
const DOUBT: f32 = -2.0;
const DOUBT_AFTER: u32 = 50;
/// Frames after which a sound in doubt is shut out: three seconds.
const SHUT_OUT_AFTER: u32 = 150;
/// What a sound must have to be kept that ends sooner: log odds after half a second, before that this mean score.
const BRIEF: f32 = -3.5;
const BRIEF_SCORE: f32 = 0.45;
const BRIEF_FRAMES: u32 = 4;

#[derive(Debug)]
pub(super) struct Confirmed {
    webrtc: WebRtc,
    earshot: Earshot,
    texture: Texture,
    phase: Phase,
    /// On the sound that is going on, or else on the last one; what was decided and stands.
    verdict: Verdict,
}

#[derive(Debug)]
enum Phase {
    Silence,
    /// A sound is listened to closely. `silent` frames have passed since it was last heard, of `heard` in all.
    Trial {
        evidence: Evidence,
        heard: u32,
        silent: u32,
    },
    /// A voice that was heard for this many frames since it was found to be one.
    Trusted {
        heard: u32,
        silent: u32,
    },
}

impl Confirmed {
    pub(super) fn new() -> Self {
        Self {
            webrtc: WebRtc::new(),
            earshot: Earshot::new(),
            texture: Texture::new(),
            phase: Phase::Silence,
            verdict: Verdict::Undecided,
        }
    }

    pub(super) fn is_speech(&mut self, frame: &Frame) -> bool {
        let sounds = self.webrtc.is_speech(frame);
        if sounds {
            self.hear(frame);
        } else {
            self.hear_nothing(frame);
        }
        sounds && self.verdict != Verdict::NotSpeech
    }

    pub(super) fn verdict(&self) -> Verdict {
        match &self.phase {
            Phase::Trial { evidence, silent, .. } if self.verdict == Verdict::Undecided => so_far(evidence, *silent),
            _ => self.verdict,
        }
    }

    pub(super) fn reset(&mut self) {
        self.webrtc.reset();
        self.phase = Phase::Silence;
        self.verdict = Verdict::Undecided;
    }

    fn hear(&mut self, frame: &Frame) {
        match &mut self.phase {
            Phase::Silence => {
                self.verdict = Verdict::Undecided;
                self.try_anew(frame);
            }
            Phase::Trusted { heard: TRUST.., .. } => self.try_anew(frame),
            Phase::Trusted { heard, silent } => {
                (*heard, *silent) = (*heard + 1, 0);
                self.texture.skip(frame);
            }
            Phase::Trial { evidence, heard, silent } => {
                (*heard, *silent) = (*heard + 1, 0);
                let score = self.earshot.score(frame);
                let grain = self.texture.measure(frame);
                if *heard > WARM_UP {
                    evidence.weigh(grain, score);
                }
                let (frames, belief) = (evidence.frames(), evidence.belief());
                let needed = if self.verdict == Verdict::NotSpeech { READMIT } else { ACQUIT };
                if frames >= ACQUIT_AFTER && belief >= needed {
                    self.verdict = Verdict::Speech;
                    self.phase = Phase::Trusted { heard: 0, silent: 0 };
                } else if frames >= SHUT_OUT_AFTER && belief < DOUBT {
                    // The trial goes on: someone may begin to speak over the noise.
                    self.verdict = Verdict::NotSpeech;
                }
            }
        }
    }

    /// Until the trial says otherwise, the verdict stands.
    fn try_anew(&mut self, frame: &Frame) {
        self.earshot.reset();
        self.earshot.score(frame);
        self.texture.measure(frame);
        self.phase = Phase::Trial { evidence: Evidence::default(), heard: 1, silent: 0 };
    }

    fn hear_nothing(&mut self, frame: &Frame) {
        self.texture.skip(frame);
        let silent = match &mut self.phase {
            Phase::Silence => return,
            Phase::Trusted { silent, .. } => silent,
            Phase::Trial { silent, .. } => {
                // Its memory must not have holes while it is asked.
                self.earshot.score(frame);
                silent
            }
        };
        *silent += 1;
        if *silent >= PAUSE {
            self.verdict = self.verdict();
            self.phase = Phase::Silence;
        }
    }
}

/// Where a trial stands that is open. Never for the voice, which it would have been acquitted as, but perhaps against it.
fn so_far(evidence: &Evidence, silent: u32) -> Verdict {
    let (frames, belief) = (evidence.frames(), evidence.belief());
    let is_over = silent >= CLOSING;
    let is_not_speech = match frames {
        DOUBT_AFTER.. => belief < DOUBT,
        ACQUIT_AFTER.. => is_over && belief < BRIEF,
        BRIEF_FRAMES.. => is_over && evidence.score() < BRIEF_SCORE,
        _ => is_over,
    };
    if is_not_speech { Verdict::NotSpeech } else { Verdict::Undecided }
}
