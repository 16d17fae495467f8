//! `dalston transcribe`: files to a server, transcripts back.

mod args;
mod embedded;
mod input;
mod output;
mod progress;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use dalston_client::{Endpoint, JobsClient, Upload};
use dalston_protocol::{
    JobId,
    job::{Job, JobStatus},
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::sleep};

use crate::refusal::told;

pub(crate) use self::progress::stages;
pub use self::{args::TranscribeArgs, embedded::end_with_parent_if_asked};
use self::{
    embedded::Embedded,
    input::Inputs,
    output::Destination,
    progress::{Bar, Bars},
};

/// Exit code after ctrl-c, as shells have it.
const INTERRUPTED: u8 = 130;
/// Before an event stream that the server has ended is asked for again.
const BETWEEN_STREAMS: Duration = Duration::from_secs(1);

/// Transcribes files, a few side by side, and prints what was said in the order in which they were named. Fails when any of
/// them did.
pub async fn run(args: &TranscribeArgs) -> Result<ExitCode> {
    let inputs = Inputs::find(&args.files)?;
    let destination = Destination::new(args, &inputs)?;
    let bars = Bars::new();
    let server = Server::find(args, &bars).await?;
    let work = Work {
        client: JobsClient::new(server.endpoint.clone(), args.target.api_key()),
        args,
        bars: &bars,
        open: Arc::default(),
    };
    let transcribing = transcribe_all(&work, &inputs, &destination);
    let outcome = tokio::select! {
        outcome = transcribing => outcome,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot hear ctrl-c")?;
            work.cancel_open().await;
            Ok(ExitCode::from(INTERRUPTED))
        }
    };
    bars.clear();
    server.end().await?;
    outcome
}

async fn transcribe_all(work: &Work<'_>, inputs: &Inputs, destination: &Destination) -> Result<ExitCode> {
    let files = inputs.iter().enumerate();
    let mut finished =
        stream::iter(files).map(|(at, file)| async move { (at, file, work.transcribe(&file.path).await) });
    // As many results wait as files are worked on: the first to be printed may be the last to be finished.
    let mut finished = (&mut finished).buffered(work.args.parallel.get());
    let mut failed = 0;
    while let Some((at, file, outcome)) = finished.next().await {
        let written = match outcome {
            Ok(transcribed) => work.bars.suspended(|| {
                for warning in &transcribed.warnings {
                    eprintln!("warning: {}: {warning}", file.name);
                }
                destination.write(at, file, &transcribed)
            }),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            if is_broken_pipe(&error) {
                return Err(error);
            }
            failed += 1;
            work.bars.suspended(|| eprintln!("error: {}: {}", file.name, told(&error)));
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a file.
#[derive(Debug)]
struct Transcribed {
    job: JobId,
    /// The transcript in the wanted format.
    text: Vec<u8>,
    /// What was wrong with the file though it could be read.
    warnings: Vec<String>,
}

/// What all files share.
struct Work<'a> {
    client: JobsClient,
    args: &'a TranscribeArgs,
    bars: &'a Bars,
    /// Jobs that were made and have not ended.
    open: Arc<Mutex<Vec<JobId>>>,
}

impl Work<'_> {
    async fn transcribe(&self, file: &Path) -> Result<Transcribed> {
        let bar = self.bars.add(file);
        let outcome = self.transcribe_with(file, &bar).await;
        bar.end();
        outcome
    }

    async fn transcribe_with(&self, file: &Path, bar: &Bar) -> Result<Transcribed> {
        let upload =
            self.args.fields().into_iter().fold(Upload::new(file), |upload, (name, value)| upload.field(name, value));
        let created = self.client.create(upload.on_sent(bar.uploading(file))).await?;
        self.open.lock().push(created.id.clone());
        let ended = self.follow(&created.id, bar).await;
        self.open.lock().retain(|id| *id != created.id);
        succeeded(&ended?)?;
        let text = self.client.export(&created.id, self.args.output.as_str()).await?.to_vec();
        let transcript = self.client.job(&created.id).await?.transcript.unwrap_or_default();
        Ok(Transcribed { job: created.id, text, warnings: transcript.warnings })
    }

    async fn follow(&self, id: &JobId, bar: &Bar) -> Result<Job> {
        loop {
            let mut progress = self.client.follow(id).await?;
            while let Some(job) = progress.next().await? {
                bar.show(&job);
                if job.status.is_terminal() {
                    return Ok(job);
                }
            }
            // The server ends a stream that has been open for very long, or when it goes down; then there is soon nobody to
            // ask.
            sleep(BETWEEN_STREAMS).await;
        }
    }

    /// Nobody will read what they come to.
    async fn cancel_open(&self) {
        let open = std::mem::take(&mut *self.open.lock());
        for id in open {
            if let Err(error) = self.client.cancel(&id).await {
                eprintln!("{id} was not cancelled: {error}");
            }
        }
    }
}

fn succeeded(job: &Job) -> Result<()> {
    match (job.status, &job.error) {
        (JobStatus::Completed, _) => Ok(()),
        (_, Some(error)) => Err(anyhow!("{} ({})", error.message, error.code)),
        (status, None) => Err(anyhow!("the job is {status}")),
    }
}

/// The server that is spoken to.
struct Server {
    endpoint: Endpoint,
    /// Ours, if none was there.
    embedded: Option<Embedded>,
}

impl Server {
    /// Whoever named a server means that one. At the usual place, one is started if none is there.
    async fn find(args: &TranscribeArgs, bars: &Bars) -> Result<Self> {
        let endpoint = args.target.endpoint.clone();
        if !args.embedded && (!args.target.is_usual() || is_there(&endpoint).await) {
            return Ok(Self { endpoint, embedded: None });
        }
        let starting = bars.note("starting a server, since none is running");
        let embedded = Embedded::start().await;
        starting.end();
        let embedded = embedded.context("cannot start a server")?;
        Ok(Self { endpoint: embedded.endpoint.clone(), embedded: Some(embedded) })
    }

    async fn end(self) -> Result<()> {
        match self.embedded {
            Some(embedded) => embedded.end().await,
            None => Ok(()),
        }
    }
}

async fn is_there(endpoint: &Endpoint) -> bool {
    TcpStream::connect(endpoint.socket()).await.is_ok()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
