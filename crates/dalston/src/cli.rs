//! The command line: what can be typed, and what it means.

use std::{
    io::{Write, stdout},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dalston_client::{ApiKey, Endpoint};
use dalston_protocol::realtime::{Retention, SessionConfig};
use serde::Serialize;

use crate::{
    config::Flag, jobs::JobsCommand, keys::KeysCommand, models::ModelsCommand, stream::RawEncoding, trace::Subject,
    transcribe::TranscribeArgs, webhooks::WebhooksCommand,
};

/// A speech-to-text server you can see into.
#[derive(Debug, Parser)]
#[command(name = "dalston", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server.
    Serve(ServeArgs),
    /// Stream audio to a server and show captions as they come.
    Stream(Box<StreamArgs>),
    /// Transcribe audio files.
    Transcribe(Box<TranscribeArgs>),
    /// See and manage what a server was asked to transcribe.
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Check whether everything that a server needs is there, and say what to do if not.
    Doctor(DoctorArgs),
    /// Ask a server whether it lives, as health checks of containers do.
    Health(HealthArgs),
    /// Make, list and take back API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Have URLs told of jobs' ends.
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// See which models there are, and get them.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Show the trace of a job or a session as a waterfall: who, when, how long, and what its end waited for.
    Trace(TraceArgs),
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// `dalston serve`. Every flag is also a setting of the file and the environment.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    bind: Option<String>,
    /// What recognises speech: `pocketsphinx`, `remote`, or `loopback` for tests; several parted by commas [default:
    /// pocketsphinx]
    #[arg(long, value_name = "NAMES")]
    engine: Option<String>,
    /// Where to keep what must outlive the server [default: ~/.local/share/dalston]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// What this process is: `all`, the whole server in one process [default: all]
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Keep the spans of recent sessions in memory, so that `stream --trace` works without a collector
    #[arg(long, value_name = "SPANS", num_args = 0..=1, require_equals = true, default_missing_value = "20000")]
    trace_ring: Option<String>,
    /// A TOML file of settings; docs/configuration.md lists them
    #[arg(long, value_name = "FILE", env = "DALSTON_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print what the server would be told, with where each value was found, and end
    #[arg(long)]
    pub dump_config: bool,
}

impl ServeArgs {
    /// The flags that are settings.
    pub fn flags(&self) -> Vec<Flag> {
        vec![
            ("bind", "--bind", self.bind.clone()),
            ("engine.name", "--engine", self.engine.clone()),
            ("data_dir", "--data-dir", self.data_dir.clone()),
            ("role", "--role", self.role.clone()),
            ("telemetry.trace_ring", "--trace-ring", self.trace_ring.clone()),
        ]
    }
}

/// Which server is spoken to.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Where the server is
    #[arg(long = "url", value_name = "URL", env = "DALSTON_URL", default_value = USUAL)]
    pub endpoint: Endpoint,
    /// An API key; better in the environment than here, where other users can see it
    #[arg(long, value_name = "KEY", env = "DALSTON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
}

/// Where a server is unless it was told otherwise.
const USUAL: &str = "http://127.0.0.1:8000";

impl Target {
    /// Whether it is where a server is unless it was told otherwise.
    pub fn is_usual(&self) -> bool {
        USUAL.parse().is_ok_and(|usual: Endpoint| usual == self.endpoint)
    }

    /// The key, if there is one.
    pub fn api_key(&self) -> Option<ApiKey> {
        self.api_key.as_deref().filter(|key| !key.is_empty()).map(ApiKey::new)
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Output {
    /// Prints it. JSON is a value a line, for programs that read lines.
    ///
    /// # Errors
    /// When writing fails.
    pub fn print<T: Serialize>(self, value: &T, text: impl Fn(&T) -> String) -> anyhow::Result<()> {
        let mut out = stdout().lock();
        match self {
            Self::Json => {
                // As what it was, so that a reader who has seen enough is known.
                serde_json::to_writer(&mut out, value).map_err(std::io::Error::from)?;
                writeln!(out)?;
            }
            Self::Text => out.write_all(text(value).as_bytes())?,
        }
        Ok(out.flush()?)
    }
}

/// How a transcript is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TranscriptOutput {
    /// Captions: live in a terminal, else a line for each final.
    Text,
    /// The server's events, one a line, as they come.
    Json,
    /// Subtitles, at the end.
    Srt,
}

/// `dalston stream`
#[derive(Debug, Args)]
pub struct StreamArgs {
    /// A WAV file, or `-` for WAV or raw audio from standard input
    pub file: PathBuf,
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// How fast: 1 is as fast as it was spoken, 2 twice that, 0 as fast as the server takes it
    /// [default: 1 for a file, 0 for standard input]
    #[arg(long, value_name = "FACTOR", value_parser = pace)]
    pub pace: Option<f64>,
    /// How to print what is heard
    #[arg(long, value_enum, default_value_t = TranscriptOutput::Text)]
    pub output: TranscriptOutput,
    /// Show partials also where the output is not a terminal, each on its own line
    #[arg(long)]
    pub partials: bool,
    /// Show the session's trace at the end, from a server with --trace-ring
    #[arg(long)]
    pub trace: bool,
    /// Fail when no word was recognised
    #[arg(long)]
    pub fail_if_empty: bool,
    /// Language of the speech, such as `en`
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Model or engine, as /v1/models lists them
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// Words that are likely to be said, parted by commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    vocabulary: Vec<String>,
    /// Silence that ends an utterance, in milliseconds
    #[arg(long, value_name = "MS")]
    endpointing_ms: Option<u32>,
    /// Ask for words with times (in JSON; subtitles always have them)
    #[arg(long)]
    word_timestamps: bool,
    /// Days that the server keeps the transcript, -1 for ever [default: it is not kept]
    #[arg(long, value_name = "DAYS", value_parser = retention, allow_negative_numbers = true)]
    retention: Option<Retention>,
    /// Keep the audio with it
    #[arg(long, requires = "retention")]
    store_audio: bool,
    /// What raw audio is
    #[arg(long, value_enum)]
    pub encoding: Option<RawEncoding>,
    /// Samples a second of raw audio
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(8_000..=48_000))]
    pub sample_rate: Option<u32>,
    /// Interleaved channels of raw audio
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub channels: Option<u8>,
    /// The caller's span, of which the session becomes a child (W3C Trace Context)
    #[arg(long, value_name = "TRACEPARENT", env = "TRACEPARENT")]
    pub traceparent: Option<String>,
}

impl StreamArgs {
    /// What the session is asked to be, except for its audio.
    pub fn session(&self) -> SessionConfig {
        let mut config = SessionConfig {
            model: self.model.clone(),
            word_timestamps: self.word_timestamps || self.output == TranscriptOutput::Srt,
            vocabulary: self.vocabulary.clone(),
            retention: self.retention.unwrap_or_default(),
            store_audio: self.store_audio,
            ..SessionConfig::default()
        };
        config.language = self.language.clone().unwrap_or(config.language);
        config.endpointing.endpointing_ms = self.endpointing_ms.unwrap_or(config.endpointing.endpointing_ms);
        config
    }
}

/// `dalston doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The same flags as for `serve`: what is checked is that server.
    #[command(flatten)]
    pub server: ServeArgs,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `dalston health`
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Which server [default: the one that these settings start on this machine]
    #[arg(long = "url", value_name = "URL")]
    pub endpoint: Option<Endpoint>,
    /// Ask whether it takes new work, too: a server that drains does not
    #[arg(long)]
    pub ready: bool,
    /// The server's settings
    #[arg(long, value_name = "FILE", env = "DALSTON_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `dalston trace`
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// A job, a session, or a trace, as answers and log lines name them
    #[arg(value_name = "JOB_OR_SESSION")]
    pub subject: Subject,
    /// Which server.
    #[command(flatten)]
    pub target: Target,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

fn pace(text: &str) -> Result<f64, String> {
    const FASTEST: f64 = 1000.0;
    let factor = text.parse().ok().filter(|factor| (0.0..=FASTEST).contains(factor));
    factor.ok_or_else(|| format!("a number from 0 to {FASTEST}, where 0 is as fast as the server takes it"))
}

pub(crate) fn retention(text: &str) -> Result<Retention, String> {
    let days: i32 = text.parse().map_err(|_| "a number of days".to_owned())?;
    Retention::try_from(days)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_serve_is_a_setting() {
        for (key, flag, _) in ServeArgs::default().flags() {
            assert!(crate::config::is_setting(key), "{flag} sets {key}, which is no setting");
        }
    }
}
