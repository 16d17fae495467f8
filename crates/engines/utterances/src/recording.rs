//! A prepared file, read once from front to back and parted as it goes.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use dalston_audio::{AudioTime, FRAME_SAMPLES, Frame, SAMPLE_RATE, Vad, VadKind};
use dalston_engine_sdk::batch::TaskError;
use hound::{SampleFormat, WavReader, WavSpec};

use crate::splitting::{Piece, Rules, Splitter};

/// Frames that are read at a time, so that hours of silence let others in between: ten seconds.
const FRAMES: usize = 500;

/// The file and what hears it.
pub struct Recording {
    reader: WavReader<BufReader<File>>,
    vad: Vad,
    splitter: Option<Splitter>,
    read: AudioTime,
}

/// Some of the file was read.
pub struct Step {
    /// How far.
    pub read: AudioTime,
    /// An utterance, where one has ended.
    pub piece: Option<Piece>,
}

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

impl Recording {
    pub fn open(path: &Path, vad: VadKind, rules: Rules) -> Result<Self, TaskError> {
        let reader = WavReader::open(path).map_err(unreadable)?;
        if reader.spec() != SPEC {
            return Err(TaskError::failed(format!("prepared audio is {:?} and not {SPEC:?}", reader.spec())));
        }
        let splitter = Some(Splitter::new(rules));
        Ok(Self { reader, vad: Vad::new(vad), splitter, read: AudioTime::ZERO })
    }

    pub fn length(&self) -> AudioTime {
        AudioTime::from_samples(self.reader.duration().into())
    }

    fn frame(&mut self) -> Result<Option<Frame>, TaskError> {
        let mut frame = [0; FRAME_SAMPLES];
        let mut filled = 0;
        for (slot, sample) in frame.iter_mut().zip(self.reader.samples::<i16>()) {
            *slot = sample.map_err(unreadable)?;
            filled += 1;
        }
        self.read += AudioTime::from_samples(filled);
        // What is missing in the last one is silence.
        Ok((filled > 0).then_some(frame))
    }

    fn step(&mut self) -> Result<Option<Step>, TaskError> {
        for _ in 0..FRAMES {
            let frame = self.frame()?;
            let Some(splitter) = &mut self.splitter else { return Ok(None) };
            let Some(frame) = frame else {
                let piece = self.splitter.take().and_then(|splitter| splitter.finish(self.vad.verdict()));
                return Ok(Some(Step { read: self.read, piece }));
            };
            let voiced = self.vad.is_speech(&frame);
            if let Some(piece) = splitter.frame(&frame, voiced, self.vad.verdict()) {
                return Ok(Some(Step { read: self.read, piece: Some(piece) }));
            }
        }
        Ok(Some(Step { read: self.read, piece: None }))
    }
}

impl Iterator for Recording {
    type Item = Result<Step, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

fn unreadable(error: impl std::fmt::Display) -> TaskError {
    TaskError::failed(format!("reading prepared audio: {error}"))
}
