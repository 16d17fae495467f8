//! Audio on one clock: decoding, resampling and voice activity.
//!
//! Everything behind this crate is 16 kHz mono 16-bit ([`SAMPLE_RATE`]), and the number of samples since the first one is
//! the session's only clock ([`AudioTime`]): silence counts, and sample *n* stands for the *n*/16000th second of what the
//! client sent, at whatever rate it sent it.
//!
//! ```text
//! bytes ─▶ Decoder ─▶ Resampler ─▶ Framer ─▶ Vad        Level
//!          any chunking  → 16 kHz    20 ms     speech?    how loud
//!          └────── Intake ──────┘
//! ```
//!
//! Nothing here waits, spawns, reads a wall clock or knows of a network. Every stage gives the same output for the same
//! input however that input is cut, and holds a bounded number of bytes whatever it is fed.

mod clock;
mod companding;
mod decoder;
mod error;
mod format;
mod frame;
mod intake;
mod level;
mod resampler;
mod vad;

pub use clock::{AudioTime, SAMPLE_RATE};
pub use companding::{alaw_to_linear, mulaw_to_linear};
pub use decoder::Decoder;
pub use error::AudioError;
pub use format::{Channels, Encoding, Format, SAMPLE_RATES};
pub use frame::{FRAME_SAMPLES, Frame, Framer};
pub use intake::Intake;
pub use level::{Level, quietest};
pub use resampler::{FILE_RATES, Resampler};
pub use vad::{Vad, VadKind, Verdict};
