//! WebRTC's detector behind a type that can be moved and cannot be misused.

use std::fmt;

use webrtc_vad::{SampleRate, VadMode};

use crate::Frame;

/// WebRTC's voice activity detector at 16 kHz.
pub(super) struct WebRtc(webrtc_vad::Vad);

// SAFETY: the wrapped type is a pointer to a C struct of its own, allocated by `fvad_new` and freed by its `Drop`. The library
// keeps no global or thread-local state, so it may be used from any one thread at a time; `&mut self` on every method sees to
// that. It is not `Sync`, and nothing here shares it.
#[expect(unsafe_code, reason = "the detector is a raw pointer inside, and a session moves between threads")]
unsafe impl Send for WebRtc {}

impl WebRtc {
    pub(super) fn new() -> Self {
        Self(webrtc_vad::Vad::new_with_rate_and_mode(SampleRate::Rate16kHz, VadMode::LowBitrate))
    }

    /// A `Frame` is 20 ms, one of the three lengths that the library takes, so its only error cannot happen.
    pub(super) fn is_speech(&mut self, frame: &Frame) -> bool {
        self.0.is_voice_segment(frame).unwrap_or(false)
    }

    pub(super) fn reset(&mut self) {
        // The library's own reset would also go back to 8 kHz and mode 0.
        *self = Self::new();
    }
}

impl fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebRtc").finish()
    }
}
