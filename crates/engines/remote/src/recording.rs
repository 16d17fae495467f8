//! A prepared file, in parts that end where it is quiet.

use std::{fs::File, io::BufReader, io::Cursor, path::Path};

use dalston_audio::{FRAME_SAMPLES, Level, quietest};
use dalston_engine_sdk::{SAMPLE_RATE, batch::TaskError};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

/// Samples a second.
pub const RATE: u32 = SAMPLE_RATE;
/// A cut is looked for over this many neighbouring frames: 300 ms, which is a pause and no plosive.
const CUT_WIDTH: usize = 15;
/// How far before a part's longest end its cut may be: 30 s, in which everybody breathes.
const CUT_WITHIN: usize = 30 * RATE as usize;

const SPEC: WavSpec = WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// The file.
pub struct Recording {
    reader: WavReader<BufReader<File>>,
    length: usize,
}

impl Recording {
    pub fn open(path: &Path) -> Result<Self, TaskError> {
        let reader = WavReader::open(path).map_err(unreadable)?;
        if reader.spec() != SPEC {
            return Err(TaskError::failed(format!("prepared audio is {:?} and not {SPEC:?}", reader.spec())));
        }
        let length = reader.duration() as usize;
        Ok(Self { reader, length })
    }

    /// In samples.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The samples from there on, to the end or to a quiet place not later than `longest`. None at the end.
    pub fn part(&mut self, from: usize, longest: usize) -> Result<Option<Vec<i16>>, TaskError> {
        let left = self.length.saturating_sub(from);
        if left == 0 {
            return Ok(None);
        }
        let offset = u32::try_from(from).map_err(unreadable)?;
        self.reader.seek(offset).map_err(unreadable)?;
        let samples = self.reader.samples::<i16>().take(longest.max(FRAME_SAMPLES));
        let mut samples: Vec<i16> = samples.collect::<Result<_, _>>().map_err(unreadable)?;
        if samples.is_empty() {
            return Err(unreadable("it ends early"));
        }
        if samples.len() < left {
            let end = cut(&samples);
            samples.truncate(end);
        }
        Ok(Some(samples))
    }
}

/// Where it is quietest in the last part, not before the middle.
fn cut(samples: &[i16]) -> usize {
    let since = (samples.len() / 2).max(samples.len().saturating_sub(CUT_WITHIN));
    let levels: Vec<Level> = samples[since..].chunks_exact(FRAME_SAMPLES).map(Level::of).collect();
    quietest(&levels, CUT_WIDTH).map_or(samples.len(), |frame| (since + frame * FRAME_SAMPLES).max(1))
}

/// Samples as a WAV file. They are let go of.
pub fn wav(samples: Vec<i16>) -> hound::Result<Vec<u8>> {
    /// Of a file with nothing in it.
    const HEAD: usize = 44;
    let mut file = Cursor::new(Vec::with_capacity(HEAD + 2 * samples.len()));
    let mut writer = WavWriter::new(&mut file, SPEC)?;
    for sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

fn unreadable(error: impl std::fmt::Display) -> TaskError {
    TaskError::failed(format!("reading prepared audio: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = RATE as usize;

    /// Tone, but for a pause of half a second in the middle of each ten.
    fn speech(seconds: usize) -> Vec<i16> {
        let is_pause = |at: usize| (at % (10 * SECOND)).abs_diff(5 * SECOND) < SECOND / 4;
        let tone = |at: usize| if is_pause(at) { 0 } else { ((at as f32 * 0.1).sin() * 8000.0) as i16 };
        (0..seconds * SECOND).map(tone).collect()
    }

    #[test]
    fn parts_follow_one_another_and_end_in_pauses() {
        let samples = speech(60);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), wav(samples.clone()).expect("memory takes it")).expect("the disk takes it");
        let mut recording = Recording::open(file.path()).expect("it was just written");
        let longest = 22 * SECOND;
        let mut heard = Vec::new();
        while let Some(part) = recording.part(heard.len(), longest).expect("it can be read") {
            assert!(part.len() <= longest, "{}", part.len());
            heard.extend(part);
            let is_end = heard.len() == samples.len();
            assert!(is_end || samples[heard.len()] == 0, "cut at {} s", heard.len() as f64 / SECOND as f64);
        }
        assert_eq!(heard, samples);
    }

    #[test]
    fn a_part_is_never_empty() {
        for length in [1, 2, FRAME_SAMPLES, FRAME_SAMPLES + 1, 40 * FRAME_SAMPLES] {
            let end = cut(&vec![0; length]);
            assert!((1..=length).contains(&end), "{end} of {length}");
        }
    }
}
