//! A file as units of speech: quarters of a second, each with its sums.

use std::path::Path;

use dalston_audio::{FRAME_SAMPLES, Framer, SAMPLE_RATE, Vad, VadKind};
use dalston_engine_sdk::batch::{TaskContext, TaskError};
use hound::{SampleFormat, WavReader, WavSpec};

use crate::cepstrum::{Cepstra, HOP};
use crate::gaussian::Sums;

/// Vectors of a unit: 250 ms.
pub const VECTORS: u32 = 25;

/// Silence, in vectors, that is still within an utterance: 300 ms.
const BREATH: u64 = 30;
/// Samples that are read between two looks at whether the task is still wanted: ten seconds.
const BLOCK: usize = 10 * SAMPLE_RATE as usize;
/// Share of the work that is reading.
const READING: f64 = 0.5;

/// A quarter of a second of speech.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its first vector, counted from the beginning of the file.
    pub start: u64,
    /// One past its last.
    pub end: u64,
    /// Whether speech went on from the unit before.
    pub follows: bool,
    pub sums: Sums,
}

/// Seconds of a vector's place.
pub fn seconds(vector: u64) -> f64 {
    vector as f64 * HOP as f64 / f64::from(SAMPLE_RATE)
}

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// Reads a prepared file.
pub fn read(path: &Path, ctx: &dyn TaskContext) -> Result<Vec<Unit>, TaskError> {
    let unreadable = |error: hound::Error| TaskError::failed(format!("reading prepared audio: {error}"));
    let mut reader = WavReader::open(path).map_err(unreadable)?;
    if reader.spec() != SPEC {
        return Err(TaskError::failed(format!("prepared audio is {:?} and not {SPEC:?}", reader.spec())));
    }
    let length = f64::from(reader.duration().max(1));
    let mut ear = Ear::new();
    let mut samples = reader.samples::<i16>();
    let mut read = 0;
    loop {
        ctx.check()?;
        let block: Vec<i16> = samples.by_ref().take(BLOCK).collect::<Result<_, _>>().map_err(unreadable)?;
        if block.is_empty() {
            return Ok(ear.finish());
        }
        ear.hear(&block);
        read += block.len();
        ctx.progress(READING * read as f64 / length);
    }
}

/// Decides which vectors are speech and gathers them.
struct Ear {
    vad: Vad,
    framer: Framer,
    cepstra: Cepstra,
    /// For each frame that has no vectors yet, whether it is speech.
    voiced: std::collections::VecDeque<bool>,
    vectors: u64,
    /// The last vector of speech.
    last: Option<u64>,
    open: Option<Unit>,
    units: Vec<Unit>,
}

/// Vectors in a frame of the detector.
const PER_FRAME: u64 = (FRAME_SAMPLES / HOP) as u64;

impl Ear {
    fn new() -> Self {
        Self {
            vad: Vad::new(VadKind::default()),
            framer: Framer::new(),
            cepstra: Cepstra::new(),
            voiced: std::collections::VecDeque::new(),
            vectors: 0,
            last: None,
            open: None,
            units: Vec::new(),
        }
    }

    fn hear(&mut self, samples: &[i16]) {
        let Self { vad, framer, cepstra, voiced, vectors, last, open, units } = self;
        framer.push(samples, |frame| voiced.push_back(vad.is_speech(frame)));
        cepstra.push(samples, |vector| {
            let at = *vectors;
            *vectors += 1;
            // A vector reaches beyond the hop at which it begins, so its frame has been heard.
            let is_speech = voiced.front().copied().unwrap_or(false);
            if *vectors % PER_FRAME == 0 {
                voiced.pop_front();
            }
            if !is_speech {
                return;
            }
            let follows = last.is_some_and(|last| at - last <= BREATH);
            *last = Some(at);
            if open.as_ref().is_some_and(|unit| !follows || at - unit.start >= u64::from(VECTORS)) {
                units.extend(open.take());
            }
            let unit = open.get_or_insert_with(|| Unit { start: at, end: at, follows, sums: Sums::new() });
            unit.end = at + 1;
            unit.sums.add(vector);
        });
    }

    fn finish(mut self) -> Vec<Unit> {
        self.units.extend(self.open);
        self.units
    }
}
