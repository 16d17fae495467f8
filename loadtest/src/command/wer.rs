//! `wer`: how many words the server gets right.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};

use crate::{
    fault::Fault,
    latency::Moment,
    report::{Report, Value},
    schedule::Pace,
    server::Observer,
    session::{Outcome, Part, Session},
    stage::Stage,
    tally::Tally,
    track::Track,
    wer::WordErrors,
    words::words,
};

/// Streams recordings whose words are known and counts what is heard wrong.
///
/// Compared are lower-case words of letters and apostrophes, numbers read out as words (`21st` as "twenty first", `3.5` as "three
/// point five").
#[derive(Debug, Clone, Args)]
pub struct Wer {
    /// One JSON object a line: `file`, relative to this file, and `text`. Other fields are passed over.
    #[arg(long)]
    manifest: PathBuf,
    /// Times faster than life.
    #[arg(long, default_value_t = 1.0, value_parser = super::positive)]
    pace: f64,
    /// Recordings streamed at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    sessions: u16,
    /// Audio in one frame.
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    frame_ms: u64,
    /// Fails when the pooled word error rate is above this, as in 0.26.
    #[arg(long, value_name = "RATE")]
    max_wer: Option<f64>,
    /// Shows the words of each recording, said and heard.
    #[arg(long)]
    show_words: bool,
}

#[derive(Debug, Deserialize)]
struct Line {
    file: PathBuf,
    text: String,
}

/// A recording and what is said in it.
#[derive(Debug)]
struct Recording {
    name: String,
    said: Vec<String>,
    track: Arc<Track>,
}

/// What became of one.
struct Heard {
    recording: usize,
    words: Vec<String>,
    errors: WordErrors,
    finals: usize,
    took: Duration,
}

impl Wer {
    /// Runs it.
    ///
    /// # Errors
    /// When the manifest or a recording cannot be used.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        let recordings = Arc::new(self.recordings()?);
        let audio: f64 = recordings.iter().map(|recording| recording.track.seconds).sum();
        let tally = Arc::new(Tally::default());
        let lasts = Duration::from_secs_f64(audio / self.pace / f64::from(self.sessions));
        let before = stage.usage().await;
        let observer = Observer::start("wer", lasts, Arc::clone(&tally), stage.tree);
        let mut heard = self.stream(&stage, &recordings, &tally).await?;
        let series = observer.stop();
        let cpu = before.zip(stage.usage().await).map(|(before, after)| after.cpu.saturating_sub(before.cpu));

        let about =
            format!("{} recordings, {audio:.0} s, at pace {}, {} at once", recordings.len(), self.pace, self.sessions);
        let mut report = Report::new("wer", about);
        report.series = series;
        heard.sort_by_key(|heard| heard.recording);
        let pooled = heard.iter().fold(WordErrors::default(), |sum, heard| sum + heard.errors);
        self.files(&mut report, &recordings, &heard);
        if let Some(model) = tally.model() {
            report.figure("model", "recognised by", Value::Text(model.into()));
        }
        report.figure("word_error_rate", "word error rate, pooled", Value::Share(pooled.rate()));
        report.figure("words", "words said", Value::Count(pooled.words as u64));
        report.figure("substituted", "… heard as another", Value::Count(pooled.substituted as u64));
        report.figure("deleted", "… not heard", Value::Count(pooled.deleted as u64));
        report.figure("inserted", "words heard and not said", Value::Count(pooled.inserted as u64));
        report.figure("audio_seconds", "audio", Value::Number(audio, "s"));
        if let Some(cpu) = cpu {
            let rtf = cpu.as_secs_f64() / audio;
            report.figure("server_cpu_rtf", "server CPU per second of audio", Value::Number(rtf, "s"));
        }
        let worst = heard.iter().map(|heard| heard.took.as_secs_f64() / recordings[heard.recording].track.seconds);
        let worst = worst.fold(0.0, f64::max);
        report.figure("slowest_time_over_audio", "slowest recording, time over audio", Value::Number(worst, ""));
        report.latencies(&tally, &Moment::ALL);
        super::generator_note(&mut report, &tally);
        report.faults(&tally, &Fault::ALL);
        if let Some(most) = self.max_wer {
            let claim = format!("the pooled word error rate is at most {:.1} %", most * 100.0);
            report.check(claim, pooled.rate() <= most, || format!("it is {:.1} %", pooled.rate() * 100.0));
        }
        Ok(report)
    }

    fn recordings(&self) -> anyhow::Result<Vec<Recording>> {
        let shown = self.manifest.display();
        let text = fs::read_to_string(&self.manifest).with_context(|| format!("{shown} cannot be read"))?;
        let folder = self.manifest.parent().unwrap_or(Path::new("."));
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let recordings: Vec<Recording> = lines
            .map(|(n, line)| {
                let line: Line = serde_json::from_str(line)
                    .with_context(|| format!("line {} of {shown} is not {{\"file\": …, \"text\": …}}", n + 1))?;
                let track = Track::read(&folder.join(&line.file), None, Duration::from_millis(self.frame_ms))?;
                Ok(Recording { name: line.file.display().to_string(), said: words(&line.text), track: Arc::new(track) })
            })
            .collect::<anyhow::Result<_>>()?;
        ensure!(!recordings.is_empty(), "{shown} names no recording");
        Ok(recordings)
    }

    async fn stream(
        &self,
        stage: &Stage,
        recordings: &Arc<Vec<Recording>>,
        tally: &Arc<Tally>,
    ) -> anyhow::Result<Vec<Heard>> {
        let slots = Arc::new(Semaphore::new(self.sessions.into()));
        let mut tasks = JoinSet::new();
        for number in 0..recordings.len() {
            let slot = Arc::clone(&slots).acquire_owned().await?;
            let track = Arc::clone(&recordings[number].track);
            let began = Instant::now();
            let session = Session {
                client: Arc::new(stage.target.client(stage.session.config(track.sample_rate))),
                number,
                pace: Pace { start: began, frame: track.frame, speed: self.pace },
                part: Part::Speak(track),
                endpointing: stage.session.endpointing(),
                patience: stage.session.patience,
                expected: None,
                keep: true,
                tally: Arc::clone(tally),
            };
            let recordings = Arc::clone(recordings);
            tasks.spawn(async move {
                let outcome = session.run().await;
                drop(slot);
                judge(number, &recordings[number], &outcome, began.elapsed())
            });
        }
        Ok(tasks.join_all().await)
    }

    fn files(&self, report: &mut Report, recordings: &[Recording], heard: &[Heard]) {
        let mut heads = vec!["file", "seconds", "words", "errors", "word_error_rate", "finals"];
        if self.show_words {
            heads.extend(["said", "heard"]);
        }
        let row = |heard: &Heard| {
            let recording = &recordings[heard.recording];
            let mut row = vec![
                Value::Text(recording.name.clone()),
                Value::Number(recording.track.seconds, ""),
                Value::Count(heard.errors.words as u64),
                Value::Count(heard.errors.errors() as u64),
                Value::Share(heard.errors.rate()),
                Value::Count(heard.finals as u64),
            ];
            if self.show_words {
                row.extend([Value::Text(recording.said.join(" ")), Value::Text(heard.words.join(" "))]);
            }
            row
        };
        report.figure("files", "recording", Value::Rows(heads, heard.iter().map(row).collect()));
    }
}

fn judge(number: usize, recording: &Recording, outcome: &Outcome, took: Duration) -> Heard {
    let heard: Vec<String> = outcome.said.iter().flat_map(|said| words(&said.text)).collect();
    let errors = WordErrors::between(&recording.said, &heard);
    Heard { recording: number, words: heard, errors, finals: outcome.said.len(), took }
}
