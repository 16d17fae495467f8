//! `jobs`: files that come in at a set rate, and how long it takes until each is a transcript.

use std::{
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use dalston_client::{JobsClient, Upload};
use dalston_protocol::job::JobStatus;
use tempfile::TempPath;
use tokio::time::{Instant, timeout_at};

use crate::{
    crowd::crowd,
    descriptors, duration,
    fault::Fault,
    latency::Moment,
    report::{Report, Value},
    schedule::Arrivals,
    server::Observer,
    signal::{RATE, quantised, speech},
    stage::Stage,
    tally::Tally,
};

/// Uploads a file at a set rate, whatever became of those before it, and follows every job to its end.
#[derive(Debug, Clone, Args)]
pub struct Jobs {
    /// Jobs that are submitted in a second.
    #[arg(long, default_value_t = 10.0, value_parser = super::positive)]
    rate: f64,
    /// How long jobs are submitted.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    lasting: Duration,
    /// Audio in the file that is generated.
    #[arg(long, default_value = "2s", value_parser = duration::parse, conflicts_with = "file")]
    speech: Duration,
    /// Sends this file instead.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long a job may take, from when it was due.
    #[arg(long, default_value = "2m", value_parser = duration::parse)]
    within: Duration,
    /// Fails when the 99th percentile from when a job was due until it is accepted is above this many milliseconds.
    #[arg(long, value_name = "MS")]
    max_submit_ms: Option<f64>,
}

impl Jobs {
    /// Runs it.
    ///
    /// # Errors
    /// When the file cannot be made, or this machine cannot hold so many connections.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        let jobs = (self.rate * self.lasting.as_secs_f64()).ceil() as usize;
        // Each that is under way is followed on a connection of its own; at most all are.
        descriptors::need(jobs)?;
        // Gone at the end of the run.
        let made = generated(self.speech).context("no file to send could be written")?;
        let file: Arc<Path> = self.file.as_deref().unwrap_or(&made).into();
        let client = JobsClient::new(stage.target.endpoint().clone(), stage.target.api_key().cloned());

        let (before, tally) = (stage.usage().await, Arc::new(Tally::default()));
        let observer = Observer::start("jobs", self.lasting, Arc::clone(&tally), stage.tree);
        let start = Instant::now() + Duration::from_millis(100);
        let arrivals = Arrivals { start, sessions: jobs, ramp: self.lasting, jitter: Duration::ZERO };
        let completed = crowd(arrivals, |_, due| {
            let (client, file, tally, model) =
                (client.clone(), Arc::clone(&file), Arc::clone(&tally), stage.session.model.clone());
            let deadline = due + self.within;
            async move {
                tally.since(Moment::Wake, due, Instant::now());
                tally.begun.inc();
                let outcome = match timeout_at(deadline, one(&client, &file, model, due, &tally)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(format!("it had not ended {:?} after it was due", deadline - due)),
                };
                tally.ended.inc();
                outcome.map_err(|why| tally.fault(Fault::Job, || why)).is_ok()
            }
        });
        let completed = completed.await.into_iter().filter(|completed| *completed).count();
        let took = start.elapsed();
        let (series, after) = (observer.stop(), stage.usage().await);

        let mut report = Report::new("jobs", format!("{jobs} jobs at {} a second", self.rate));
        report.series = series;
        report.figure("jobs_completed", "jobs completed", Value::Count(completed as u64));
        let a_second = completed as f64 / took.as_secs_f64();
        report.figure("jobs_per_second", "… a second, to the end of the last", Value::Number(a_second, "/s"));
        if let (Some(before), Some(after)) = (before, after) {
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1_000.0 / jobs as f64;
            report.figure("server_cpu_ms_per_job", "server CPU per job, engines included", Value::Number(cpu, "ms"));
            report.figure("server_rss_bytes", "server memory at the end", Value::Bytes(after.rss));
        }
        report.latencies(&tally, &[Moment::Accepted, Moment::Completed, Moment::Wake]);
        super::generator_note(&mut report, &tally);
        report.faults(&tally, &[Fault::Job]);
        super::limit(&mut report, "due → accepted", &tally, Moment::Accepted, self.max_submit_ms);
        Ok(report)
    }
}

/// One job from its upload to its end, or what went wrong with it.
async fn one(
    client: &JobsClient,
    file: &Path,
    model: Option<String>,
    due: Instant,
    tally: &Tally,
) -> Result<(), String> {
    let upload = model.into_iter().fold(Upload::new(file), |upload, model| upload.field("model", model));
    let created = client.create(upload).await.map_err(|error| format!("it was not accepted: {error}"))?;
    tally.since(Moment::Accepted, due, Instant::now());
    let lost = |error| format!("{} cannot be followed: {error}", created.id);
    let mut progress = client.follow(&created.id).await.map_err(lost)?;
    while let Some(job) = progress.next().await.map_err(lost)? {
        if job.status.is_terminal() {
            tally.since(Moment::Completed, due, Instant::now());
            let why = || format!("{} is {:?}: {:?}", job.id, job.status, job.error);
            return if job.status == JobStatus::Completed { Ok(()) } else { Err(why()) };
        }
    }
    Err(format!("{} was followed no longer before it had ended", created.id))
}

/// A WAV of generated speech.
fn generated(lasting: Duration) -> anyhow::Result<TempPath> {
    let file = tempfile::Builder::new().prefix("dalston-loadtest-").suffix(".wav").tempfile()?;
    let spec =
        hound::WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::new(BufWriter::new(file.as_file()), spec)?;
    quantised(&speech(lasting.as_secs_f32(), 1).wave).into_iter().try_for_each(|sample| writer.write_sample(sample))?;
    writer.finalize()?;
    Ok(file.into_temp_path())
}
