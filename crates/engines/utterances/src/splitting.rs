//! Where utterances begin and end in a file: pure, frame by frame.
//!
//! Contract, held by property tests:
//!
//! * Pieces follow one another and never overlap; each is at most as long as the limit.
//! * Speech of more than the onset is in some piece, every sample of it, with what comes shortly before and after.
//! * Where speech goes on beyond the limit, the next piece begins at the very sample at which the last one ended.
//!
//! It is the live path's endpointing without a hurry: a cut may be far behind, so it has more quiet places to choose from.

use std::time::Duration;

use dalston_audio::{AudioTime, FRAME_SAMPLES, Frame, Level, Verdict, quietest};

/// How speech is parted, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pause: usize,
    longest: usize,
}

impl Rules {
    /// Silence that ends a piece, and the longest piece: at least three seconds.
    pub fn new(pause: Duration, longest: Duration) -> Self {
        let samples = |time: Duration| usize::try_from(time.as_millis()).unwrap_or(usize::MAX / 32).min(1 << 25) * 16;
        Self { pause: samples(pause).max(TAIL), longest: samples(longest).max(3 * 16_000) }
    }
}

/// An utterance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where its first sample stands.
    pub start: AudioTime,
    pub samples: Vec<i16>,
    /// The detector thinks that this is no voice, on so little that it may be wrong: the words must show it.
    pub doubtful: bool,
}

/// Voiced frames that make an onset: 100 ms …
const ONSET: u32 = 5;
/// … and unvoiced ones among them that do not undo it: the closure of a plosive is about this long.
const ONSET_GAP: u32 = 3;
/// What is kept before an onset: soft beginnings are not voiced. 300 ms.
const PADDING: usize = 15 * FRAME_SAMPLES;
/// Silence that is kept after speech, so that the last word is heard to end. 240 ms.
const TAIL: usize = 12 * FRAME_SAMPLES;
/// What the detector says of less than this, padding and all, is not to be trusted alone: quiet words fare like noise. 3 s.
const SHORT: usize = 150 * FRAME_SAMPLES;
/// A cut is looked for over this many neighbouring frames: longer than the closure of a plosive.
const CUT_WIDTH: usize = 5;

/// Parts one file.
#[derive(Debug)]
pub struct Splitter {
    rules: Rules,
    state: State,
    /// What was heard and is not given out, ending now. Bounded by the longest piece.
    held: Vec<i16>,
    now: usize,
    /// Whether this was found to be a voice since the piece began.
    proven: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// `voiced` frames that may be an onset, `gap` unvoiced ones since.
    Quiet { voiced: u32, gap: u32 },
    /// The last frame of speech ended at `last`; `run` frames in a row are voiced now.
    Speaking { last: usize, run: u32 },
}

const QUIET: State = State::Quiet { voiced: 0, gap: 0 };

impl Splitter {
    pub fn new(rules: Rules) -> Self {
        Self { rules, state: QUIET, held: Vec::new(), now: 0, proven: false }
    }

    /// Hears the next frame. Gives a piece that has ended with it.
    pub fn frame(&mut self, frame: &Frame, voiced: bool, verdict: Verdict) -> Option<Piece> {
        self.held.extend_from_slice(frame);
        self.now += FRAME_SAMPLES;
        self.proven |= voiced && verdict == Verdict::Speech;
        match self.state {
            State::Quiet { voiced: before, gap } => {
                self.listen(voiced, before, gap);
                None
            }
            State::Speaking { last, run } => self.follow(voiced, last, run, verdict),
        }
    }

    /// The file is over.
    pub fn finish(mut self, verdict: Verdict) -> Option<Piece> {
        let State::Speaking { last, .. } = self.state else { return None };
        self.end(last, verdict)
    }

    fn listen(&mut self, heard: bool, before: u32, gap: u32) {
        let (voiced, gap) = match (heard, before) {
            (true, _) => (before + 1, 0),
            (false, 1..) if gap < ONSET_GAP => (before, gap + 1),
            (false, _) => (0, 0),
        };
        self.state = State::Quiet { voiced, gap };
        if voiced >= ONSET {
            self.state = State::Speaking { last: self.now, run: 1 };
        } else if voiced == 0 {
            self.held.drain(..self.held.len().saturating_sub(PADDING));
            self.proven = false;
        }
    }

    fn follow(&mut self, heard: bool, last: usize, run: u32, verdict: Verdict) -> Option<Piece> {
        let run = if heard { run + 1 } else { 0 };
        // A single voiced frame in silence is noise more often than speech.
        let last = if run >= 2 { self.now } else { last };
        self.state = State::Speaking { last, run };
        if self.now - last >= self.rules.pause {
            self.end(last, verdict)
        } else if self.held.len() + FRAME_SAMPLES > self.rules.longest {
            self.cut(last, run, verdict)
        } else {
            None
        }
    }

    fn end(&mut self, last: usize, verdict: Verdict) -> Option<Piece> {
        self.state = QUIET;
        self.give(last + TAIL, verdict)
    }

    /// At the limit: in the last half, where it is quietest.
    fn cut(&mut self, last: usize, run: u32, verdict: Verdict) -> Option<Piece> {
        let half = self.held.len() / 2 / FRAME_SAMPLES * FRAME_SAMPLES;
        let levels: Vec<Level> = self.held[half..].chunks(FRAME_SAMPLES).map(Level::of).collect();
        let frames = quietest(&levels, CUT_WIDTH).unwrap_or(levels.len());
        let place = self.since() + half + frames * FRAME_SAMPLES;
        self.state = State::Speaking { last: last.max(place), run };
        let proven = self.proven;
        let piece = self.give(place, verdict);
        self.proven = proven;
        piece
    }

    /// Gives what is held up to there; nothing when it was long, and no voice.
    fn give(&mut self, until: usize, verdict: Verdict) -> Option<Piece> {
        let since = self.since();
        let count = (until - since).min(self.held.len());
        let rest = self.held.split_off(count);
        let samples = std::mem::replace(&mut self.held, rest);
        let doubtful = !std::mem::take(&mut self.proven) && verdict == Verdict::NotSpeech;
        let is_short = samples.len() <= SHORT;
        (is_short || !doubtful).then_some(Piece { start: AudioTime::from_samples(since as u64), samples, doubtful })
    }

    fn since(&self) -> usize {
        self.now - self.held.len()
    }
}

#[cfg(test)]
mod tests;
