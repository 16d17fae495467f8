//! `dalston jobs`: what a server has been asked to transcribe.

mod show;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use dalston_client::{JobsClient, ListJobs};
use dalston_protocol::{
    JobId,
    job::{Job, JobStatus},
};
use serde::Serialize;

use crate::cli::{Output, Target};

/// `dalston jobs`
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List jobs, newest first.
    List {
        /// Only those that stand there: pending, running, cancelling, completed, failed or cancelled
        #[arg(long)]
        status: Option<JobStatus>,
        /// Most of them
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: Option<u32>,
        /// Go on where a page ended
        #[arg(long)]
        cursor: Option<String>,
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
    /// Show a job, with its stages and what was said.
    Get(OneJob),
    /// Show how a job goes until it has ended. Fails if the job does.
    Watch(OneJob),
    /// End jobs.
    Cancel(SomeJobs),
    /// Have another try at jobs that failed.
    Retry(SomeJobs),
    /// Forget jobs that have ended.
    Delete(SomeJobs),
    /// List what failed for good, with the reasons.
    Dead {
        /// Most jobs whose tasks are told
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: Option<u32>,
        /// Go on where a page ended
        #[arg(long)]
        cursor: Option<String>,
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
}

/// A job of a server.
#[derive(Debug, Args)]
pub struct OneJob {
    /// The job
    id: JobId,
    /// Where, and how to print it.
    #[command(flatten)]
    common: Common,
}

/// Jobs of a server.
#[derive(Debug, Args)]
pub struct SomeJobs {
    /// The jobs
    #[arg(required = true)]
    ids: Vec<JobId>,
    /// Where, and how to print it.
    #[command(flatten)]
    common: Common,
}

/// Where jobs are, and how they are printed.
#[derive(Debug, Args)]
pub struct Common {
    /// Which server.
    #[command(flatten)]
    target: Target,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Common {
    fn client(&self) -> JobsClient {
        JobsClient::new(self.target.endpoint.clone(), self.target.api_key())
    }

    fn print<T: Serialize>(&self, value: &T, text: impl Fn(&T) -> String) -> Result<()> {
        self.output.print(value, text)
    }
}

/// Does it. The exit code of `watch` says how the job ended.
pub async fn run(command: &JobsCommand) -> Result<ExitCode> {
    match command {
        JobsCommand::List { status, limit, cursor, common } => {
            let status = status.map(|status| status.to_string());
            let list = common.client().list(&ListJobs { status, limit: *limit, cursor: cursor.clone() }).await?;
            common.print(&list, show::list)?;
        }
        JobsCommand::Get(OneJob { id, common }) => common.print(&common.client().job(id).await?, show::job)?,
        JobsCommand::Watch(OneJob { id, common }) => return watch(id, common).await,
        JobsCommand::Cancel(SomeJobs { ids, common }) => {
            for id in ids {
                common.print(&common.client().cancel(id).await?, show::standing)?;
            }
        }
        JobsCommand::Retry(SomeJobs { ids, common }) => {
            for id in ids {
                common.print(&common.client().retry(id).await?, show::standing)?;
            }
        }
        JobsCommand::Delete(SomeJobs { ids, common }) => {
            for id in ids {
                common.client().delete(id).await?;
            }
        }
        JobsCommand::Dead { limit, cursor, common } => {
            let page = ListJobs { status: None, limit: *limit, cursor: cursor.clone() };
            common.print(&common.client().dead(&page).await?, show::dead)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn watch(id: &JobId, common: &Common) -> Result<ExitCode> {
    let mut progress = common.client().follow(id).await?;
    let mut last: Option<Job> = None;
    while let Some(job) = progress.next().await? {
        common.print(&job, show::progress)?;
        last = Some(job);
    }
    match last {
        Some(job) if job.status == JobStatus::Completed => Ok(ExitCode::SUCCESS),
        Some(job) if job.status.is_terminal() => Ok(ExitCode::FAILURE),
        _ => bail!("the server stopped telling of the job before it ended"),
    }
}
