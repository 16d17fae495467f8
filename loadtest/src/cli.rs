//! The command line.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::{
    runtime::{Builder, Runtime},
    select,
    signal::unix::{SignalKind, signal},
};

use crate::{
    baseline::Baseline,
    command::{
        churn::Churn, compare::Compare, frames::Frames, idle::Idle, jobs::Jobs, max::Max, noise::Noise, pace::PaceArgs,
        start::Start, wer::Wer,
    },
    report::{Report, html, table},
    stage::{ServerArgs, SessionArgs, Stage},
};

/// Puts load on a Dalston server and measures how it bears it.
///
/// The schedule is fixed before a run and never waits for the server, and every latency is counted from it. Exits with 0 only if
/// every claim held, with 1 if one did not, with 2 if the run could not take place.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten, next_help_heading = "Server")]
    server: ServerArgs,
    #[command(flatten, next_help_heading = "Sessions")]
    session: SessionArgs,
    /// What is printed at the end.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, help_heading = "Output")]
    output: Output,
    /// Also writes the report with its plots over time to this file, as HTML that needs nothing else.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Threads of this generator. One carries thousands of sessions, and leaves the other cores to the server.
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

#[derive(Debug, Subcommand)]
enum Command {
    Idle(Idle),
    Pace(PaceArgs),
    Wer(Wer),
    Noise(Noise),
    Frames(Frames),
    Churn(Churn),
    Jobs(Jobs),
    Max(Max),
    Start(Start),
    Compare(Compare),
    #[command(hide = true)]
    Baseline(Baseline),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table for people.
    Table,
    /// One JSON object.
    Json,
}

/// Does what the command line says.
#[must_use]
pub fn run() -> ExitCode {
    match Cli::parse().execute() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Cli {
    /// Whether it runs other command lines.
    pub(crate) const fn is_comparison(&self) -> bool {
        matches!(self.command, Command::Compare(_))
    }

    /// Whether all claims held.
    fn execute(self) -> anyhow::Result<bool> {
        if let Command::Baseline(baseline) = self.command {
            let runtime = Builder::new_multi_thread().enable_all().build().context("no runtime")?;
            runtime.block_on(baseline.serve())?;
            // A blocked read of standard input must not hold it up.
            runtime.shutdown_background();
            return Ok(true);
        }
        let report = runtime(self.threads)?.block_on(async {
            select! {
                report = measure(&self) => report,
                // Dropping the run takes a server that it started along.
                stopped = told_to_stop() => stopped.and_then(|()| anyhow::bail!("stopped before the end")),
            }
        })?;
        if let Some(file) = &self.html {
            fs::write(file, html(&report)).with_context(|| format!("{} cannot be written", file.display()))?;
        }
        match self.output {
            Output::Table => print!("{}", table(&report)),
            Output::Json => println!("{}", report.json()),
        }
        Ok(report.ok())
    }
}

fn runtime(threads: u16) -> anyhow::Result<Runtime> {
    let mut builder = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.into()).enable_all().build().context("no runtime")
}

/// Runs the command of this line.
///
/// # Errors
/// When the run cannot take place.
pub async fn measure(cli: &Cli) -> anyhow::Result<Report> {
    if let Command::Compare(compare) = &cli.command {
        return compare.run().await;
    }
    if let Command::Start(start) = &cli.command {
        return start.run(&cli.server, &cli.session).await;
    }
    let stage = Stage::new(&cli.server, &cli.session).await?;
    match &cli.command {
        Command::Idle(idle) => stage.run(|stage| idle.run(stage)).await,
        Command::Pace(pace) => stage.run(|stage| pace.run(stage)).await,
        Command::Wer(wer) => stage.run(|stage| wer.run(stage)).await,
        Command::Noise(noise) => stage.run(|stage| noise.run(stage)).await,
        Command::Frames(frames) => stage.run(|stage| frames.run(stage)).await,
        Command::Churn(churn) => stage.run(|stage| churn.run(stage)).await,
        Command::Jobs(jobs) => stage.run(|stage| jobs.run(stage)).await,
        Command::Max(max) => stage.run(|stage| max.run(stage)).await,
        Command::Start(_) | Command::Compare(_) | Command::Baseline(_) => {
            anyhow::bail!("this command has no server of its own")
        }
    }
}

async fn told_to_stop() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
