//! What of a decoded track is to be heard. Encoders put samples before the sound, because their filters need them, and after it,
//! because packets are full; a container says how many, or their codec has a usual number.

use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::formats::{FormatReader, Track};

use crate::mp4;
use crate::wav::Claims;

/// Samples that every AAC encoder puts before the sound, at the least: half of its first window.
const AAC_PRIMING: f64 = 1024.0;

/// A stretch of what is decoded, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Presentation {
    /// Before it.
    pub skip: f64,
    /// Its length; `None`: to the end.
    pub keep: Option<f64>,
}

impl Presentation {
    /// Of a track of this file. What its decoder trims by itself is not in it.
    pub fn of(path: &Path, reader: &dyn FormatReader, track: &Track) -> Self {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Self::default() };
        match reader.format_info().short_name {
            "isomp4" => mp4::presentation(path, track.id).unwrap_or_else(|| Self::usual(parameters)),
            "wave" => Self::of_wav(path, track, parameters).unwrap_or_default(),
            _ => Self::usual(parameters),
        }
    }

    /// Of a codec whose container does not tell.
    fn usual(parameters: &AudioCodecParameters) -> Self {
        match parameters.sample_rate {
            Some(rate) if parameters.codec == CODEC_ID_AAC && rate > 0 => {
                Self { skip: AAC_PRIMING / f64::from(rate), keep: None }
            }
            _ => Self::default(),
        }
    }

    /// Without what fills the last block. Anything else that a file may claim is not believed.
    fn of_wav(path: &Path, track: &Track, parameters: &AudioCodecParameters) -> Option<Self> {
        let block = parameters.frames_per_block.filter(|samples| *samples > 1)?;
        let samples = u64::from(Claims::of(path)?.samples?);
        let all = track.num_frames?;
        let is_likely = samples <= all && all - samples < block;
        is_likely.then_some(Self { skip: 0.0, keep: Some(samples as f64 / f64::from(parameters.sample_rate?)) })
    }
}

/// Leaves of one packet's samples after the other what is to be heard.
#[derive(Debug, Clone, Copy)]
pub struct Trim {
    skip: u64,
    keep: u64,
}

impl Trim {
    /// At the rate that the decoder gives.
    pub fn new(wanted: Presentation, rate: u32) -> Self {
        // `as` saturates.
        let samples = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        Self { skip: samples(wanted.skip), keep: wanted.keep.map_or(u64::MAX, samples) }
    }

    /// Takes the next samples, a plane per channel, all of one length.
    pub fn apply(&mut self, planes: &mut [Vec<f32>]) {
        let all = planes.first().map_or(0, Vec::len);
        let skipped = usize::try_from(self.skip).map_or(all, |skip| skip.min(all));
        let kept = usize::try_from(self.keep).map_or(all - skipped, |keep| keep.min(all - skipped));
        self.skip -= skipped as u64;
        self.keep -= kept as u64;
        if skipped > 0 || kept < all {
            for plane in planes {
                plane.truncate(skipped + kept);
                plane.drain(..skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_does_not_depend_on_how_it_is_cut_into_packets() {
        let all: Vec<f32> = (0..100_u8).map(f32::from).collect();
        for packet in [1, 7, 10, 30, 100] {
            let mut trim = Trim::new(Presentation { skip: 0.25, keep: Some(0.6) }, 100);
            let mut heard = Vec::new();
            for packet in all.chunks(packet) {
                let mut planes = [packet.to_vec(), packet.to_vec()];
                trim.apply(&mut planes);
                assert_eq!(planes[0], planes[1]);
                heard.extend_from_slice(&planes[0]);
            }
            assert_eq!(heard, all[25..85], "in packets of {packet}");
        }
    }
}
