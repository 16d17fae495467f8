//! Where utterances begin and end: a pure state machine over 20 ms frames.
//!
//! Contract, held by property tests:
//!
//! * What it does depends on the frames alone, not on how they arrived.
//! * Every sample is fed at most once, in order; the audio of one utterance is one piece, and utterances never overlap.
//! * From the onset of speech to its end every sample is fed. At a length limit the next utterance begins at the very
//!   sample at which the last one ended.

use std::collections::VecDeque;

use dalston_audio::{AudioTime, FRAME_SAMPLES, Frame, Level, quietest};
use dalston_protocol::realtime::{Endpointing, FinalCause};

/// What the session does next, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action<'a> {
    /// Speech began at this time. Comes with [`Action::Begin`] and only where silence parts utterances.
    SpeechStart(AudioTime),
    /// An utterance begins; its first fed sample stands at this time.
    Begin(AudioTime),
    /// More audio of the utterance.
    Feed(&'a [i16]),
    /// Speech ended at this time. Precedes the utterance's [`Action::Finish`].
    SpeechEnd(AudioTime),
    /// The utterance is whole; speech ended at this time.
    Finish(AudioTime, FinalCause),
    /// The utterance is thrown away.
    Discard,
}

/// Unvoiced frames inside a beginning word that do not undo it: the closure of a plosive is about this long.
const ONSET_GAP: u32 = 3;
/// Silence after speech that the recogniser hears, so that it sees the last word end. What comes later is held back: it is
/// fed if speech goes on and dropped at the endpoint.
const TAIL: AudioTime = AudioTime::from_millis(240);
/// Before the length limit this much is held back, to cut it at its quietest place.
const CUT_WINDOW: AudioTime = AudioTime::from_millis(2_000);
/// A cut is looked for over this many neighbouring frames: longer than the closure of a plosive.
const CUT_WIDTH: usize = 5;
const FRAME: AudioTime = AudioTime::from_samples(FRAME_SAMPLES as u64);

/// Parts one channel's audio into utterances.
#[derive(Debug)]
pub(crate) struct Endpointer {
    rules: Endpointing,
    /// Without it, everything is speech and only `flush` and the length limit part utterances.
    vad: bool,
    state: State,
    /// Audio that was heard and not fed, ending now: what may still become the beginning of an utterance, or the rest of
    /// the current one. Bounded by padding + minimum speech when quiet, by the cut window or the endpointing time when not.
    held: VecDeque<i16>,
    now: AudioTime,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// No utterance. `voiced` frames since `onset`, `gap` unvoiced ones after them.
    Quiet { onset: AudioTime, voiced: u32, gap: u32 },
    /// An utterance since `start`; `voiced_run` frames in a row were voiced, the last one ended at `last_voiced`.
    Speaking { start: AudioTime, last_voiced: AudioTime, voiced_run: u32 },
}

const QUIET: State = State::Quiet { onset: AudioTime::ZERO, voiced: 0, gap: 0 };

impl Endpointer {
    pub(crate) fn new(rules: Endpointing, vad: bool) -> Self {
        Self { rules, vad, state: QUIET, held: VecDeque::new(), now: AudioTime::ZERO }
    }

    /// The clock of a session that another worker had.
    pub(crate) fn starting_at(self, now: AudioTime) -> Self {
        Self { now, ..self }
    }

    /// The next frame was answered for by another worker, and is part of no utterance here.
    pub(crate) fn pass_over(&mut self) {
        debug_assert!(!self.is_speaking() && self.held.is_empty(), "it comes before everything else");
        self.now += FRAME;
    }

    /// Other rules, from the next frame on.
    pub(crate) fn set_rules(&mut self, rules: Endpointing) {
        self.rules = rules;
    }

    /// Whether an utterance is open.
    pub(crate) fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    /// The end of the last frame.
    pub(crate) fn now(&self) -> AudioTime {
        self.now
    }

    /// Hears the next frame.
    pub(crate) fn frame(&mut self, frame: &Frame, voiced: bool, sink: &mut impl FnMut(Action<'_>)) {
        self.held.extend(frame);
        self.now += FRAME;
        match self.state {
            State::Quiet { .. } => self.listen(voiced || !self.vad, sink),
            State::Speaking { .. } => self.follow(voiced || !self.vad, sink),
        }
    }

    /// Ends the utterance that is open, now. Whether there was one.
    pub(crate) fn finish(&mut self, cause: FinalCause, sink: &mut impl FnMut(Action<'_>)) -> bool {
        let State::Speaking { last_voiced, .. } = self.state else {
            return false;
        };
        self.feed_until(self.now, sink);
        self.end(last_voiced, cause, sink);
        true
    }

    /// Throws away the utterance that is open and everything held.
    pub(crate) fn clear(&mut self, sink: &mut impl FnMut(Action<'_>)) {
        if self.is_speaking() {
            sink(Action::Discard);
        }
        self.state = QUIET;
        self.held = VecDeque::new();
    }

    /// Quiet: is this the beginning of speech?
    fn listen(&mut self, heard: bool, sink: &mut impl FnMut(Action<'_>)) {
        let State::Quiet { mut onset, mut voiced, mut gap } = self.state else { return };
        match (heard, voiced) {
            (true, 0) => (onset, voiced) = (self.now.saturating_sub(FRAME), 1),
            (true, _) => (voiced, gap) = (voiced + 1, 0),
            (false, 0) => {}
            (false, _) if gap < ONSET_GAP => gap += 1,
            (false, _) => (voiced, gap) = (0, 0),
        }
        self.state = State::Quiet { onset, voiced, gap };
        let needed = if self.vad { self.rules.min_speech_ms.div_ceil(20).max(1) } else { 1 };
        if voiced >= needed {
            self.begin(onset, sink);
        } else {
            let padding = AudioTime::from_millis(self.rules.prefix_padding_ms.into());
            let useful = if voiced > 0 { onset } else { self.now };
            self.forget_until(useful.saturating_sub(padding));
        }
    }

    fn begin(&mut self, onset: AudioTime, sink: &mut impl FnMut(Action<'_>)) {
        let padding = AudioTime::from_millis(self.rules.prefix_padding_ms.into());
        self.forget_until(onset.saturating_sub(padding));
        if self.vad {
            sink(Action::SpeechStart(onset));
        }
        let start = self.held_since();
        sink(Action::Begin(start));
        self.state = State::Speaking { start, last_voiced: self.now, voiced_run: 1 };
        self.feed_until(self.now, sink);
    }

    /// Speaking: has it ended?
    fn follow(&mut self, heard: bool, sink: &mut impl FnMut(Action<'_>)) {
        let State::Speaking { start, mut last_voiced, mut voiced_run } = self.state else { return };
        voiced_run = if heard { voiced_run + 1 } else { 0 };
        // A single voiced frame in silence is noise more often than speech; it does not end the silence, nor the utterance.
        if voiced_run >= 2 || !self.vad {
            last_voiced = self.now;
        }
        self.state = State::Speaking { start, last_voiced, voiced_run };

        let limit = start + max_utterance(&self.rules);
        let silence = self.now.saturating_sub(last_voiced);
        if !heard && silence >= AudioTime::from_millis(self.rules.endpointing_ms.into()) {
            self.feed_until(last_voiced + TAIL, sink);
            self.end(last_voiced, FinalCause::Endpoint, sink);
        } else if self.now >= limit {
            self.cut(last_voiced, sink);
        } else {
            let until = if silence > TAIL { last_voiced + TAIL } else { self.now };
            self.feed_until(until.min(limit.saturating_sub(CUT_WINDOW)), sink);
        }
    }

    /// At the length limit: ends the utterance at the quietest place of what is held and begins the next one there.
    fn cut(&mut self, last_voiced: AudioTime, sink: &mut impl FnMut(Action<'_>)) {
        let levels: Vec<Level> = self.held.make_contiguous().chunks(FRAME_SAMPLES).map(Level::of).collect();
        let quiet_frames = quietest(&levels, CUT_WIDTH).unwrap_or(levels.len());
        let place = self.held_since() + AudioTime::from_samples((quiet_frames * FRAME_SAMPLES) as u64);
        self.feed_until(place, sink);
        sink(Action::Finish(place.min(last_voiced), FinalCause::Limit));
        sink(Action::Begin(place));
        self.state = State::Speaking { start: place, last_voiced: last_voiced.max(place), voiced_run: 0 };
        self.feed_until(self.now, sink);
        self.held.shrink_to(FRAME_SAMPLES * 32);
    }

    fn end(&mut self, at: AudioTime, cause: FinalCause, sink: &mut impl FnMut(Action<'_>)) {
        if self.vad {
            sink(Action::SpeechEnd(at));
        }
        sink(Action::Finish(at, cause));
        self.state = QUIET;
    }

    /// Where the audio begins that is not decided on yet.
    pub(crate) fn held_since(&self) -> AudioTime {
        self.now.saturating_sub(AudioTime::from_samples(self.held.len() as u64))
    }

    fn count_until(&self, until: AudioTime) -> usize {
        let held = until.saturating_sub(self.held_since()).samples();
        usize::try_from(held).unwrap_or(usize::MAX).min(self.held.len())
    }

    fn feed_until(&mut self, until: AudioTime, sink: &mut impl FnMut(Action<'_>)) {
        let count = self.count_until(until);
        let (front, back) = self.held.as_slices();
        let first = count.min(front.len());
        for piece in [&front[..first], &back[..count - first]] {
            if !piece.is_empty() {
                sink(Action::Feed(piece));
            }
        }
        self.held.drain(..count);
    }

    fn forget_until(&mut self, until: AudioTime) {
        self.held.drain(..self.count_until(until));
    }
}

fn max_utterance(rules: &Endpointing) -> AudioTime {
    // Checked to be 3 to 60 seconds, so the cut window always fits.
    AudioTime::from_millis((rules.max_utterance_s * 1_000.0) as u64)
}

#[cfg(test)]
mod tests;
