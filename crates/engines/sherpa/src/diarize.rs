//! Who spoke when, by two models: one that finds where voices change, and one that tells whose they are.
//!
//! Each file is worked on by a process of its own, because the library ends its process over a model that it cannot
//! use, and because only an end stops it. It is given an order on standard input and says the turns on standard output.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;

use dalston_engine_sdk::EngineError;
use dalston_engine_sdk::batch::{
    Diarized, Engine, EngineInfo, Heard, Stage, TaskContext, TaskError, TaskInput, TaskOutput, TaskProcess, Turn,
};
use serde::{Deserialize, Serialize};

/// What the pipeline calls it.
pub const DIARIZE_ID: &str = "sherpa-diarize";
/// How it says of itself that it found out.
const METHOD: &str = "neural (segmentation and voice embeddings, sherpa-onnx)";

/// The models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiarizeModels {
    /// Pyannote's segmentation.
    pub segmentation: PathBuf,
    /// Voice embeddings.
    pub embedding: PathBuf,
}

/// What a child is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The models.
    pub models: DiarizeModels,
    /// Prepared audio.
    pub audio: PathBuf,
    /// How many speakers there are, where that is known.
    pub speakers: Option<u8>,
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Diarize {
    models: DiarizeModels,
    program: PathBuf,
    args: Vec<OsString>,
}

impl Diarize {
    /// With these models, in children that are started so; their `main` calls `run_diarize`.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when a model is no file.
    pub fn new(models: DiarizeModels, program: PathBuf, args: Vec<OsString>) -> Result<Self, EngineError> {
        for (file, setting) in [(&models.segmentation, "segmentation"), (&models.embedding, "embedding")] {
            if !file.is_file() {
                let what = format!("the model {}, which is no file,", file.display());
                return Err(EngineError::Unavailable { what, fix: format!("set engine.sherpa.{setting}, or neither") });
            }
        }
        Ok(Self { models, program, args })
    }

    fn told(&self, order: &Order, ctx: &dyn TaskContext) -> Result<Vec<Turn>, TaskError> {
        let mut child = TaskProcess::<Said>::start(&self.program, &self.args, order)
            .map_err(|error| TaskError::failed(format!("starting the process that tells speakers apart: {error}")))?;
        loop {
            match child.hear(ctx)? {
                Heard::Line(said) => return said.turns(),
                Heard::Ended(status) => return Err(verdict(status, &self.models)),
                Heard::Nothing => {}
            }
        }
    }
}

impl Engine for Diarize {
    fn info(&self) -> EngineInfo {
        // A child takes all processors.
        EngineInfo { concurrency: 1, ..EngineInfo::new(DIARIZE_ID, Stage::DIARIZE) }
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let audio = input.audio()?.to_owned();
        let order = Order { models: self.models.clone(), audio, speakers: input.parameters.num_speakers };
        let turns = in_order_of_first_words(self.told(&order, ctx)?);
        ctx.progress(1.0);
        TaskOutput::of(&Diarized { method: METHOD.to_owned(), turns })
    }
}

/// All that a child says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Who spoke when.
    Turns(Vec<Turn>),
    /// Why nobody knows.
    Failed(String),
}

impl Said {
    fn turns(self) -> Result<Vec<Turn>, TaskError> {
        match self {
            Self::Turns(turns) => Ok(turns),
            Self::Failed(why) => Err(TaskError::Failed(why)),
        }
    }
}

/// Whatever the speakers were numbered by, numbers them as they begin to speak.
fn in_order_of_first_words(mut turns: Vec<Turn>) -> Vec<Turn> {
    turns.sort_by(|a, b| a.start.total_cmp(&b.start));
    let mut numbers = HashMap::new();
    for turn in &mut turns {
        let next = numbers.len() as u32;
        turn.speaker = *numbers.entry(turn.speaker).or_insert(next);
    }
    turns
}

/// What it means that a child has ended without a word.
fn verdict(status: ExitStatus, models: &DiarizeModels) -> TaskError {
    let (segmentation, embedding) = (models.segmentation.display(), models.embedding.display());
    TaskError::failed(format!(
        "the process that tells speakers apart ended: {status}. sherpa-onnx does so over models that it cannot use: \
         are {segmentation} (engine.sherpa.segmentation) and {embedding} (engine.sherpa.embedding) what they should be?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_are_numbered_as_they_begin_to_speak() {
        let turn = |start: f64, speaker| Turn { start, end: start + 1.0, speaker };
        let found = in_order_of_first_words(vec![turn(5.0, 0), turn(0.0, 7), turn(2.0, 3), turn(3.0, 7)]);
        assert_eq!(found.iter().map(|turn| turn.speaker).collect::<Vec<_>>(), [0, 1, 0, 2]);
    }

    #[test]
    fn a_model_that_is_no_file_is_said_with_its_setting() {
        let models = DiarizeModels { segmentation: "/nowhere.onnx".into(), embedding: "/nowhere.onnx".into() };
        let error = Diarize::new(models, "/proc/self/exe".into(), Vec::new()).expect_err("no files");
        assert!(
            error.to_string().contains("/nowhere.onnx") && error.to_string().contains("engine.sherpa.segmentation")
        );
    }
}
