//! The first stage of a job: whatever was uploaded becomes 16 kHz mono.
//!
//! Reads the file `source`, whatever its name, and writes `audio.wav` (the mean of all channels) and, for a job that takes
//! each channel for a speaker, `channel-0.wav`, …; 16 bits, one channel, 16 kHz. Sample *n* of each stands for *n*/16000 s of
//! the upload, as its decoder gives it: packets that cannot be decoded are silence of their length, a file that is cut off ends
//! where it is cut, with a warning as far as its container tells that there was more. What the encoder put before the sound and
//! after it is left out where the container tells (Ogg, WebM, MP4 by its edit list or iTunes' tag, MP3 by its encoder's tag,
//! compressed WAV); AAC that tells nothing loses the 1024 samples that every encoder puts before the sound. Of an MP3 without tag
//! all samples stay.
//!
//! Formats: WAV, AIFF, CAF, FLAC, MP3, Ogg, Matroska and WebM, MP4 and bare AAC, with PCM, ADPCM, µ-law, A-law, FLAC, ALAC,
//! MP1 to MP3, Vorbis, Opus and AAC-LC in them.
//!
//! **An upload is hostile until it is read.** Decoders meet it in a child process ([`run`]), which is bounded in memory, holds no
//! secret and no socket, and is killed when the task is cancelled, or when it does nothing for a while. Nothing is held in memory
//! but a packet and what the filters need. The length and the number of channels are limited ([`Limits`]), before anything is
//! decoded where the container tells, and so is how much audio may come out of how few bytes; how long the whole may take is
//! the task's deadline. [`Rejection`] has what can be wrong with an upload.

#![forbid(unsafe_code)]

mod child;
mod decoder;
mod ending;
mod length;
mod listing;
mod mp4;
mod opus;
mod output;
mod parent;
mod presentation;
mod reading;
mod rejection;
mod source;
mod wav;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dalston_engine_sdk::batch::{Engine, EngineInfo, Stage, TaskContext, TaskError, TaskInput, TaskOutput};
use dalston_protocol::job::SpeakerDetection;
use serde::{Deserialize, Serialize};

pub use child::run;
pub use rejection::Rejection;

use reading::{Read, Wanted};

/// What `engine-host` and the pipeline call it.
pub const ENGINE_ID: &str = "prepare";

/// What an upload is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest audio.
    pub longest: Duration,
    /// Most channels.
    pub max_channels: u8,
    /// Longest time in which the child neither reads nor writes anything. Then it is killed.
    pub stall: Duration,
    /// Bytes of address space that the child may take for decoding.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(12 * 60 * 60),
            max_channels: 8,
            // Half a megabyte, the least that a decoder does between two signs of life, takes a tenth of a second; a starved
            // machine is slower, and a hang is for ever.
            stall: Duration::from_secs(60),
            memory: 1 << 30,
        }
    }
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Prepare {
    limits: Limits,
    place: Place,
}

/// Where files are decoded.
#[derive(Debug, Clone)]
enum Place {
    Child { program: PathBuf, args: Vec<OsString> },
    Here,
}

impl Prepare {
    /// Decodes in a child process of this very program, as `engine-host prepare`, also when its file has been replaced since
    /// it was started. Its `main` calls [`run`] for these arguments.
    pub fn new(limits: Limits) -> Self {
        Self::with_program("/proc/self/exe", ["engine-host", ENGINE_ID], limits)
    }

    /// Decodes in a child process of that program, whose `main` calls [`run`] for these arguments.
    pub fn with_program<A: Into<OsString>>(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = A>,
        limits: Limits,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self { limits, place: Place::Child { program: program.into(), args } }
    }

    /// Decodes on the caller's thread: for files that are trusted. A decoder's panic is an error; one that hangs or takes all
    /// memory is not held.
    pub fn in_this_process(limits: Limits) -> Self {
        Self { limits, place: Place::Here }
    }
}

impl Engine for Prepare {
    fn info(&self) -> EngineInfo {
        EngineInfo::new(ENGINE_ID, Stage::PREPARE)
    }

    fn process(&self, input: &TaskInput, ctx: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        let wanted = Wanted {
            source: input.file("source")?.to_owned(),
            folder: input.scratch.clone(),
            channels: input.parameters.speaker_detection == SpeakerDetection::PerChannel,
            limits: self.limits,
        };
        let read = match &self.place {
            Place::Child { program, args } => parent::read(program, args, &wanted, ctx)?,
            Place::Here => child::here(&wanted, &mut |done| {
                ctx.progress(done);
                ctx.check()
            })?,
        };
        output_of(&read, &input.scratch)
    }
}

/// The files of a child are those that it was asked for, whatever it says.
fn output_of(read: &Read, folder: &Path) -> Result<TaskOutput, TaskError> {
    let mut output = TaskOutput::of(&read.prepared)?;
    for name in &read.files {
        output = output.with_file(name.clone(), folder.join(name));
    }
    Ok(output)
}
