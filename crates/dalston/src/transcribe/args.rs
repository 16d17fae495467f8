//! What can be typed after `dalston transcribe`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueEnum};
use dalston_protocol::realtime::Retention;

use crate::cli::{Target, retention};

/// `dalston transcribe`
#[derive(Debug, Args)]
pub struct TranscribeArgs {
    /// Audio files: WAV, FLAC, MP3, OGG, M4A, WebM and others, or `-` for one from standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which server. Where none is named and none runs, one is started for as long as this takes.
    #[command(flatten)]
    pub target: Target,
    /// Start a server for this alone, even if one runs or is named
    #[arg(long)]
    pub embedded: bool,
    /// How to write what was said
    #[arg(short, long, value_enum, default_value_t = Format::Txt)]
    pub output: Format,
    /// Write a file for each file into this folder, instead of standard output
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Files that are worked on side by side
    #[arg(long, value_name = "N", default_value = "4")]
    pub parallel: NonZeroUsize,
    /// Language of the speech, such as `en`
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Model or engine, as /v1/models lists them
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// How to find out who speaks
    #[arg(long, value_enum, default_value_t = Speakers::None)]
    speakers: Speakers,
    /// Words that are likely to be said, parted by commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    vocabulary: Vec<String>,
    /// Ask for the times of words
    #[arg(long)]
    word_timestamps: bool,
    /// Days that the server keeps the job, 0 for no longer than needed, -1 for ever [default: the server's]
    #[arg(long, value_name = "DAYS", value_parser = retention, allow_negative_numbers = true)]
    retention: Option<Retention>,
}

/// How a transcript is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, a line for each segment.
    Txt,
    /// Subtitles as SubRip.
    Srt,
    /// Subtitles as WebVTT.
    Vtt,
    /// The transcript with all times, one line for each file.
    Json,
}

impl Format {
    /// The format as the server calls it, and as a file's name ends.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// How it is found out who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Speakers {
    /// Not at all.
    None,
    /// By voice.
    Diarize,
    /// Each channel is a speaker.
    PerChannel,
}

impl TranscribeArgs {
    /// The fields of the form. What was not asked for is left to the server.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let speakers = match self.speakers {
            Speakers::None => None,
            Speakers::Diarize => Some("diarize".to_owned()),
            Speakers::PerChannel => Some("per_channel".to_owned()),
        };
        let vocabulary = (!self.vocabulary.is_empty()).then(|| serde_json::json!(self.vocabulary).to_string());
        let given = [
            ("language", self.language.clone()),
            ("model", self.model.clone()),
            ("speaker_detection", speakers),
            ("vocabulary", vocabulary),
            ("timestamps_granularity", self.word_timestamps.then(|| "word".to_owned())),
            ("retention", self.retention.map(|retention| i32::from(retention).to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
