//! `pace`: many people speaking at once, each at the pace of life.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::ensure;
use clap::{Args, ValueEnum};

use crate::{
    descriptors, duration,
    fault::Fault,
    latency::Moment,
    load::{Load, Streamed},
    report::{Report, Value},
    server::Memory,
    signal::{self, quantised, speech},
    stage::Stage,
    tally::Tally,
    track::Track,
};

/// Streams audio at pace on many sessions and holds each to the protocol and to a session that streamed alone.
#[derive(Debug, Clone, Args)]
pub struct PaceArgs {
    /// Sessions at once.
    #[arg(long, default_value_t = 100)]
    sessions: usize,
    #[command(flatten)]
    audio: AudioArgs,
    /// From the first session's beginning to the last's. 5 s or 200 sessions a second unless given.
    #[arg(long, value_parser = duration::parse)]
    ramp: Option<Duration>,
    /// What the finals must be: `same` as those of a session that streamed alone before, or `any`.
    #[arg(long, value_enum, default_value_t = Words::Same)]
    words: Words,
    /// Fails when a second of a session's audio costs the server more CPU than this.
    #[arg(long, value_name = "MS")]
    max_cpu_ms: Option<f64>,
    /// Fails when the 99th percentile of end of speech → final, beyond the endpointing time, is above this.
    #[arg(long, value_name = "MS")]
    max_final_ms: Option<f64>,
}

/// Seconds of the generated signal.
const USUAL_SECONDS: f64 = 60.0;

/// What is streamed, and how fast.
#[derive(Debug, Clone, Args)]
pub struct AudioArgs {
    /// Seconds of audio in each session; the file's length, or 60.
    #[arg(long)]
    seconds: Option<f64>,
    /// A recording (WAV, 16 bits, mono) instead of the generated signal; over and over when `--seconds` is longer.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Times faster than life.
    #[arg(long, default_value_t = 1.0, value_parser = super::positive)]
    pub pace: f64,
    /// Audio in one frame.
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    frame_ms: u64,
    /// Which speech is generated.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the finals must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Words {
    /// Those of a session that streamed the same alone.
    Same,
    /// Anything.
    Any,
}

impl AudioArgs {
    /// The audio of one session, cut.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn track(&self) -> anyhow::Result<Arc<Track>> {
        self.track_of(self.seconds)
    }

    /// As much audio as keeps every session speaking for so long after the last of them has begun.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn track_beyond(&self, ramp: Duration) -> anyhow::Result<Arc<Track>> {
        let seconds = self.seconds.unwrap_or(USUAL_SECONDS);
        self.track_of(Some(seconds + ramp.as_secs_f64() * self.pace))
    }

    fn track_of(&self, seconds: Option<f64>) -> anyhow::Result<Arc<Track>> {
        let frame = Duration::from_millis(self.frame_ms);
        let longest = 24.0 * 3_600.0;
        ensure!(seconds.is_none_or(|seconds| (0.1..=longest).contains(&seconds)), "--seconds is 0.1 to {longest}");
        let track = match &self.file {
            Some(file) => Track::read(file, seconds, frame)?,
            None => {
                let seconds = seconds.unwrap_or(USUAL_SECONDS);
                let mut samples = quantised(&speech(seconds as f32, self.seed).wave);
                samples.truncate((seconds * f64::from(signal::RATE)) as usize);
                Track::new(&samples, signal::RATE, frame)?
            }
        };
        Ok(Arc::new(track))
    }
}

/// The ramp that suits so many sessions.
pub(super) fn usual_ramp(sessions: usize) -> Duration {
    Duration::from_secs_f64((sessions as f64 / 200.0).max(5.0))
}

impl PaceArgs {
    /// Runs it.
    ///
    /// # Errors
    /// When there is no audio, or this machine cannot hold so many connections.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        descriptors::need(self.sessions)?;
        let track = self.audio.track()?;
        let ramp = self.ramp.unwrap_or_else(|| usual_ramp(self.sessions));
        let mut load =
            Load { sessions: self.sessions, track: Arc::clone(&track), speed: self.audio.pace, ramp, expected: None };
        let about = format!(
            "{} sessions, {:.1} s of audio each in frames of {} ms at pace {}, begun over {ramp:?}",
            self.sessions, track.seconds, self.audio.frame_ms, self.audio.pace
        );
        let mut report = Report::new("pace", about);

        let alone = Arc::new(Tally::default());
        let reference = load.reference(&stage, &alone).await;
        if self.words == Words::Same {
            let faults = alone.fault_count();
            report.check(
                "a session that streams alone has finals and no fault",
                faults == 0 && !reference.is_empty(),
                || {
                    let first = Fault::ALL.iter().find_map(|kind| alone.faults(*kind).examples.pop());
                    first.unwrap_or_else(|| "it has no final".into())
                },
            );
            load.expected = Some(Arc::clone(&reference));
        }
        let before = stage.memory().await;
        let streamed = load.stream(&stage, "pace").await;
        self.fill(&mut report, &streamed, before, reference.len());
        Ok(report)
    }

    fn fill(&self, report: &mut Report, streamed: &Streamed, before: Option<Memory>, each: usize) {
        let Streamed { tally, plateau, series, audio } = streamed;
        report.series.clone_from(series);
        if let Some(model) = tally.model() {
            report.figure("model", "recognised by", Value::Text(model.into()));
        }
        report.figure("audio_seconds", "audio sent", Value::Number(*audio, "s"));
        report.figure("partials", "partials", Value::Count(tally.partials.get()));
        report.figure("finals", "finals", Value::Count(tally.finals.get()));
        report.figure("words", "words", Value::Count(tally.words.get()));
        report.figure("max_lag_seconds", "greatest lag warned of", Value::Number(tally.worst_lag().as_secs_f64(), "s"));

        if let Some(plateau) = plateau {
            let sessions = self.sessions as f64;
            let spoken = plateau.lasted.as_secs_f64() * self.audio.pace * sessions;
            let each = 1_000.0 * plateau.server_cpu.as_secs_f64() / spoken;
            let cores = |cpu: Duration| Value::Number(cpu.as_secs_f64() / plateau.lasted.as_secs_f64(), "cores");
            let label = "server CPU per session-second";
            report.figure("server_cpu_ms_per_session_second", label, Value::Number(each, "ms"));
            report.figure("server_cores", "server CPU", cores(plateau.server_cpu));
            report.figure("generator_cores", "generator CPU", cores(plateau.generator_cpu));
            report.figure("server_memory_bytes", "server memory", Value::Bytes(plateau.memory.bytes));
            if let Some(before) = before {
                let each = plateau.memory.bytes.saturating_sub(before.bytes) / self.sessions as u64;
                report.figure("bytes_per_session", "… per session", Value::Bytes(each));
            }
            report.figure("server_processes", "server processes", Value::Count(plateau.usage.processes));
            if let Some(most) = self.max_cpu_ms {
                let claim = format!("a session-second costs at most {most} ms of CPU");
                report.check(claim, each <= most, || format!("{each:.3} ms"));
            }
        } else {
            report.notes.push("all sessions spoke together too shortly to measure the server's CPU and memory".into());
        }
        report.latencies(tally, &Moment::ALL);
        super::generator_note(report, tally);

        report.faults(tally, &Fault::ALL);
        if self.words == Words::Same {
            let wanted = (each * self.sessions) as u64;
            let came = tally.finals.get();
            report.check(format!("{wanted} finals came"), came == wanted, || format!("{came} came"));
        }
        super::limit(report, "end of speech → final", tally, Moment::BeyondEndpointing, self.max_final_ms);
    }
}
