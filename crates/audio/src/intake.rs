//! A client's bytes to 16 kHz, channel by channel.

use crate::{AudioTime, Decoder, Format, Resampler};

/// [`Decoder`] and one [`Resampler`] per channel: everything between the socket and the audio clock.
///
/// The samples that the sink gets in all, up to [`Intake::finish`], are the same however the bytes were cut.
#[derive(Debug)]
pub struct Intake {
    format: Format,
    decoder: Decoder,
    resamplers: Vec<Resampler>,
}

impl Intake {
    /// Allocates no filter yet: that happens with the first audio, and never at 16 kHz.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let resamplers = (0..format.channels().count()).map(|_| Resampler::new(format.sample_rate())).collect();
        Self { format, decoder: Decoder::new(format), resamplers }
    }

    /// What the bytes are.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Takes bytes of any number. `sink` gets the channel (0, 1) and its next samples of 16 kHz, never empty, at most 512 at
    /// a time.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(usize, &[i16])) {
        let resamplers = &mut self.resamplers;
        self.decoder.decode(bytes, |channel, samples| {
            resamplers[channel].process(samples, |resampled| sink(channel, resampled));
        });
    }

    /// The stream is over: gives out what the filters still hold, so that the audio clock of every channel ends where the
    /// client's did. Returns how many bytes of an unfinished frame were cut off at the end. What is pushed afterwards is
    /// another stream, its clock starting at zero.
    pub fn finish(&mut self, mut sink: impl FnMut(usize, &[i16])) -> usize {
        for (channel, resampler) in self.resamplers.iter_mut().enumerate() {
            resampler.finish(|resampled| sink(channel, resampled));
        }
        let leftover = self.decoder.leftover_bytes();
        self.decoder = Decoder::new(self.format);
        leftover
    }

    /// How much audio the client has sent, in whole frames at its own rate, on the audio clock. Ahead of what the sink got
    /// by the filters' delay until `finish`.
    #[must_use]
    pub fn received(&self) -> AudioTime {
        self.resamplers.first().map_or(AudioTime::ZERO, Resampler::received)
    }
}
