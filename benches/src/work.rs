//! The chunk of work that every way of tracing wraps.

use std::hint::black_box;
use std::time::Duration;

use dalston_telemetry::Chunk;

/// Samples of 20 ms at 16 kHz.
const SAMPLES: usize = 320;

/// What the trace is told of each chunk.
pub const CHUNK: Chunk =
    Chunk { audio: Duration::from_millis(20), bytes: 2 * SAMPLES, lag: Duration::ZERO, failed: false };

/// 20 ms of audio, and something to do with it that the compiler can neither leave out nor move.
#[derive(Debug)]
pub struct Work([i16; SAMPLES]);

impl Work {
    /// A saw tooth.
    pub fn new() -> Self {
        Self(std::array::from_fn(|i| (i as i16 % 100) * 300))
    }

    /// Finds the loudest sample: some tens of nanoseconds.
    #[inline]
    pub fn process(&self) {
        let samples = black_box(&self.0);
        black_box(samples.iter().map(|sample| sample.unsigned_abs()).max());
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}
