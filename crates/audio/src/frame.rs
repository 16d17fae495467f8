//! Twenty milliseconds: the grain in which speech is decided.

use crate::SAMPLE_RATE;

/// Samples of a [`Frame`]: 20 ms.
pub const FRAME_SAMPLES: usize = SAMPLE_RATE as usize / 50;

/// 20 ms of 16 kHz mono.
pub type Frame = [i16; FRAME_SAMPLES];

/// Cuts samples that come in any pieces into whole frames.
#[derive(Debug, Clone)]
pub struct Framer {
    pending: Frame,
    filled: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// With nothing pending.
    #[must_use]
    pub const fn new() -> Self {
        Self { pending: [0; FRAME_SAMPLES], filled: 0 }
    }

    /// Gives `sink` each frame that `samples` completes.
    pub fn push(&mut self, mut samples: &[i16], mut sink: impl FnMut(&Frame)) {
        if self.filled > 0 {
            let missing = (FRAME_SAMPLES - self.filled).min(samples.len());
            let (head, rest) = samples.split_at(missing);
            self.pending[self.filled..][..missing].copy_from_slice(head);
            self.filled += missing;
            samples = rest;
            if self.filled < FRAME_SAMPLES {
                return;
            }
            self.filled = 0;
            sink(&self.pending);
        }
        let (frames, rest) = samples.as_chunks::<FRAME_SAMPLES>();
        frames.iter().for_each(&mut sink);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// Samples that no frame has taken yet: fewer than [`FRAME_SAMPLES`].
    #[must_use]
    pub fn pending(&self) -> &[i16] {
        &self.pending[..self.filled]
    }

    /// Forgets what is pending.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}
