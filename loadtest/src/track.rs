//! Audio cut into frames once and shared by every session: a session holds a position, not a copy.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;

/// 16-bit mono audio in frames that are ready to be sent.
#[derive(Debug, Clone)]
pub struct Track {
    /// The frames; all share one allocation. The last may be shorter.
    pub frames: Vec<Bytes>,
    /// Audio in one frame.
    pub frame: Duration,
    /// Hertz.
    pub sample_rate: u32,
    /// Audio in all.
    pub seconds: f64,
}

impl Track {
    /// Cuts samples into frames of this length, rounded to whole samples.
    ///
    /// # Errors
    /// When there are no samples, or a frame would have none.
    pub fn new(samples: &[i16], sample_rate: u32, frame: Duration) -> anyhow::Result<Self> {
        ensure!(!samples.is_empty(), "there is no audio to send");
        let length = (frame.as_secs_f64() * f64::from(sample_rate)).round() as usize;
        ensure!(length > 0, "a frame of {frame:?} holds no sample at {sample_rate} Hz");
        let all: Bytes = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>().into();
        let frames =
            (0..all.len()).step_by(2 * length).map(|at| all.slice(at..all.len().min(at + 2 * length))).collect();
        let exact = Duration::from_secs_f64(length as f64 / f64::from(sample_rate));
        let seconds = samples.len() as f64 / f64::from(sample_rate);
        Ok(Self { frames, frame: exact, sample_rate, seconds })
    }

    /// A recording, from the beginning again and again until it is as long as asked, or as it is.
    ///
    /// # Errors
    /// When it cannot be read, or is not 16-bit mono WAV of 8 to 48 kHz.
    pub fn read(file: &Path, seconds: Option<f64>, frame: Duration) -> anyhow::Result<Self> {
        let (samples, sample_rate) = read_wav(file)?;
        let wanted = seconds.map_or(samples.len(), |seconds| (seconds * f64::from(sample_rate)) as usize);
        let samples: Vec<i16> = samples.iter().copied().cycle().take(wanted).collect();
        Self::new(&samples, sample_rate, frame)
    }
}

fn read_wav(file: &Path) -> anyhow::Result<(Vec<i16>, u32)> {
    let shown = file.display();
    let mut reader = hound::WavReader::open(file).with_context(|| format!("{shown} cannot be read as a WAV file"))?;
    let spec = reader.spec();
    let is_plain = (spec.channels, spec.bits_per_sample, spec.sample_format) == (1, 16, hound::SampleFormat::Int);
    if !is_plain || !(8_000..=48_000).contains(&spec.sample_rate) {
        bail!(
            "{shown} has {} channels, {} bits and {} Hz; it must be mono, 16 bits and 8000 to 48000 Hz: \
             `ffmpeg -i {shown} -ac 1 -ar 16000 -sample_fmt s16 OUT.wav`",
            spec.channels,
            spec.bits_per_sample,
            spec.sample_rate
        );
    }
    let samples = reader.samples().collect::<Result<Vec<i16>, _>>().with_context(|| format!("{shown} is damaged"))?;
    ensure!(!samples.is_empty(), "{shown} holds no audio");
    Ok((samples, spec.sample_rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_all_samples_and_no_others() {
        let samples: Vec<i16> = (0..4_000).collect();
        let track = Track::new(&samples, 16_000, Duration::from_millis(100)).unwrap();
        assert_eq!(track.frames.iter().map(Bytes::len).collect::<Vec<_>>(), [3_200, 3_200, 1_600]);
        assert_eq!((track.frame, track.seconds), (Duration::from_millis(100), 0.25));
        let bytes: Vec<u8> = track.frames.concat();
        let back: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        assert_eq!(back, samples);
    }

    #[test]
    fn frames_are_whole_samples_and_their_length_is_exact() {
        let track = Track::new(&[0; 1_000], 11_025, Duration::from_millis(20)).unwrap();
        assert_eq!(track.frames[0].len(), 2 * 221);
        assert_eq!(track.frame, Duration::from_secs_f64(221.0 / 11_025.0));
    }

    #[test]
    fn nothing_to_send_is_said() {
        assert!(Track::new(&[], 16_000, Duration::from_millis(100)).is_err());
        assert!(Track::new(&[0; 9], 16_000, Duration::ZERO).is_err());
    }
}
