//! Earshot's network, whose frames are 16 ms, asked every 20 ms.

use std::fmt;

use crate::Frame;

/// What the network hears at a time.
const WINDOW: usize = 256;

/// Earshot's detector. Five windows fill four frames, so a decision rests on audio up to 16 ms before the frame's end.
pub(super) struct Earshot {
    /// Boxed: its 9 KiB would otherwise be copied with every move of a session.
    detector: Box<earshot::Detector>,
    window: [i16; WINDOW],
    filled: usize,
}

impl Earshot {
    pub(super) fn new() -> Self {
        Self { detector: earshot::Detector::default_boxed(), window: [0; WINDOW], filled: 0 }
    }

    /// From 0 to 1: the highest of the windows that this frame completes, at least one.
    pub(super) fn score(&mut self, frame: &Frame) -> f32 {
        let mut best = 0.0f32;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let taken = (WINDOW - self.filled).min(rest.len());
            let (head, tail) = rest.split_at(taken);
            self.window[self.filled..][..taken].copy_from_slice(head);
            self.filled += taken;
            rest = tail;
            if self.filled == WINDOW {
                self.filled = 0;
                best = best.max(self.detector.predict_i16(&self.window));
            }
        }
        best
    }

    pub(super) fn reset(&mut self) {
        self.detector.reset();
        self.filled = 0;
    }
}

impl fmt::Debug for Earshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Earshot").field("filled", &self.filled).finish_non_exhaustive()
    }
}
