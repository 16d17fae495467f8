//! Prepared audio, a stretch at a time.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use dalston_engine_sdk::SAMPLE_RATE;
use dalston_engine_sdk::batch::TaskError;
use hound::{SampleFormat, WavReader, WavSpec};

use crate::placing::Span;

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
/// Seconds of one stretch: what is longer no aligner takes, and is not read.
const LONGEST: f64 = 600.0;

/// A file. Each stretch is read on its own, from where it begins.
pub struct Audio {
    path: PathBuf,
    samples: u32,
}

impl Audio {
    pub fn open(path: &Path) -> Result<Self, TaskError> {
        let reader = reader(path)?;
        if reader.spec() != SPEC {
            return Err(TaskError::failed(format!("prepared audio is {:?} and not {SPEC:?}", reader.spec())));
        }
        Ok(Self { path: path.to_owned(), samples: reader.duration() })
    }

    pub fn seconds(&self) -> f64 {
        f64::from(self.samples) / f64::from(SAMPLE_RATE)
    }

    /// The samples of a stretch; `None` when there are none, or far too many.
    pub fn read(&self, span: Span) -> Result<Option<Vec<i16>>, TaskError> {
        let [start, end] = [span.start, span.end]
            .map(|seconds| (seconds * f64::from(SAMPLE_RATE)).round() as u32)
            .map(|at| at.min(self.samples));
        if start >= end || span.end - span.start > LONGEST {
            return Ok(None);
        }
        let mut reader = reader(&self.path)?;
        reader.seek(start).map_err(unreadable)?;
        let samples: Result<Vec<i16>, _> = reader.samples().take((end - start) as usize).collect();
        samples.map(Some).map_err(unreadable)
    }
}

fn reader(path: &Path) -> Result<WavReader<BufReader<File>>, TaskError> {
    WavReader::open(path).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> TaskError {
    TaskError::failed(format!("reading prepared audio: {error}"))
}
