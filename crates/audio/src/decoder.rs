//! Bytes to samples, in whatever pieces the bytes arrive.

use crate::companding::{alaw_to_linear, mulaw_to_linear};
use crate::{Encoding, Format};

/// Frames decoded between two calls of the sink; bounds the scratch space on the stack.
const BLOCK_FRAMES: usize = 512;

/// The largest frame: two 32-bit samples.
const MAX_FRAME_BYTES: usize = 8;

/// Decodes a stream of bytes cut anywhere, also inside a sample or an interleaved frame, to 16-bit samples per channel.
///
/// Every byte sequence decodes. Floats beyond full scale clamp; NaN and infinities, which mean a broken sender rather than
/// loud sound, become silence so that they cannot poison a filter downstream.
#[derive(Debug, Clone)]
pub struct Decoder {
    encoding: Encoding,
    channels: usize,
    /// The beginning of a frame whose end has not arrived yet.
    carry: [u8; MAX_FRAME_BYTES],
    carried: usize,
}

impl Decoder {
    /// For audio of this format; its rate is not looked at.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self {
            encoding: format.encoding(),
            channels: format.channels().count(),
            carry: [0; MAX_FRAME_BYTES],
            carried: 0,
        }
    }

    /// Decodes what `bytes` completes. `sink` gets the channel (0, 1) and its next samples, in order, never empty; all
    /// channels have got equally many when this returns.
    pub fn decode(&mut self, mut bytes: &[u8], mut sink: impl FnMut(usize, &[i16])) {
        let frame_bytes = self.encoding.bytes_per_sample() * self.channels;
        if self.carried > 0 {
            let missing = (frame_bytes - self.carried).min(bytes.len());
            let (head, rest) = bytes.split_at(missing);
            self.carry[self.carried..][..missing].copy_from_slice(head);
            self.carried += missing;
            bytes = rest;
            if self.carried < frame_bytes {
                return;
            }
            self.carried = 0;
            let frame = self.carry;
            self.decode_frames(&frame[..frame_bytes], &mut sink);
        }
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % frame_bytes);
        for block in whole.chunks(BLOCK_FRAMES * frame_bytes) {
            self.decode_frames(block, &mut sink);
        }
        self.carry[..rest.len()].copy_from_slice(rest);
        self.carried = rest.len();
    }

    /// Bytes of an unfinished frame that wait for the next chunk. At the end of the stream: what was cut off and is lost.
    #[must_use]
    pub fn leftover_bytes(&self) -> usize {
        self.carried
    }

    /// `bytes` are 1 to [`BLOCK_FRAMES`] whole frames.
    fn decode_frames(&self, bytes: &[u8], sink: &mut impl FnMut(usize, &[i16])) {
        match self.encoding {
            Encoding::PcmS16le => self.deinterleave(bytes, |sample: &[u8; 2]| i16::from_le_bytes(*sample), sink),
            Encoding::PcmF32le => {
                self.deinterleave(bytes, |sample: &[u8; 4]| float_to_i16(f32::from_le_bytes(*sample)), sink);
            }
            Encoding::Mulaw => self.deinterleave(bytes, |[byte]: &[u8; 1]| mulaw_to_linear(*byte), sink),
            Encoding::Alaw => self.deinterleave(bytes, |[byte]: &[u8; 1]| alaw_to_linear(*byte), sink),
        }
    }

    fn deinterleave<const N: usize>(
        &self,
        bytes: &[u8],
        sample: impl Fn(&[u8; N]) -> i16,
        sink: &mut impl FnMut(usize, &[i16]),
    ) {
        let (samples, _) = bytes.as_chunks::<N>();
        let mut block = [0i16; BLOCK_FRAMES];
        for channel in 0..self.channels {
            let own = samples.iter().skip(channel).step_by(self.channels);
            let frames = own.len();
            for (slot, bytes) in block.iter_mut().zip(own) {
                *slot = sample(bytes);
            }
            sink(channel, &block[..frames]);
        }
    }
}

/// Full scale ±1 to ±32768, rounded, clamped; what is not a number of finite size is silence.
fn float_to_i16(sample: f32) -> i16 {
    if sample.is_finite() { rounded(sample * 32_768.0) } else { 0 }
}

/// The nearest of 16 bits, halves away from zero. `f32::round` is a call on x86-64 as Rust builds for it by default.
pub(crate) fn rounded(sample: f32) -> i16 {
    // `as` cuts towards zero and saturates, which is the clamp.
    (sample + 0.5f32.copysign(sample)) as i16
}
