//! `start`: how long a server takes until it is ready, and what it holds then.

use anyhow::ensure;
use clap::Args;
use tokio::time::Instant;

use super::median;
use crate::{
    report::{Report, Value},
    stage::{ServerArgs, SessionArgs, Stage},
};

/// Starts a server and stops it, again and again.
#[derive(Debug, Clone, Args)]
pub struct Start {
    /// How often.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    times: u16,
    /// Fails when the median time to readiness is above this many milliseconds.
    #[arg(long, value_name = "MS")]
    max_ms: Option<f64>,
    /// Fails when the median of what a ready server holds is above this many MiB.
    #[arg(long, value_name = "MIB")]
    max_mib: Option<f64>,
}

impl Start {
    /// Runs it.
    ///
    /// # Errors
    /// When there is no command line that starts a server, or a server is not ready in time.
    pub async fn run(&self, server: &ServerArgs, session: &SessionArgs) -> anyhow::Result<Report> {
        ensure!(server.starts_one(), "--server is missing: the command line that starts the server");
        let (mut waited, mut held) = (Vec::new(), Vec::new());
        let mut report = Report::new("start", format!("a server was started {} times", self.times));
        for _ in 0..self.times {
            let began = Instant::now();
            let stage = Stage::new(server, session).await?;
            waited.push(began.elapsed().as_secs_f64() * 1_000.0);
            held.extend(stage.memory().await.map(|memory| memory.bytes as f64));
            let ended = stage.run(|_| async { Ok(Report::new("start", String::new())) }).await?;
            report.checks.extend(ended.checks.into_iter().filter(|check| !check.ok));
            report.notes.extend(ended.notes);
        }
        if let Some(ready) = median(&waited) {
            let longest = waited.iter().copied().fold(ready, f64::max);
            report.figure("ready_ms", "start → ready, median", Value::Number(ready, "ms"));
            report.figure("ready_ms_max", "… longest", Value::Number(longest, "ms"));
            if let Some(most) = self.max_ms {
                report.check(format!("it is ready in {most} ms"), ready <= most, || format!("{ready:.0} ms"));
            }
        }
        if let Some(bytes) = median(&held) {
            report.figure("server_memory_ready_bytes", "server memory when ready, median", Value::Bytes(bytes as u64));
            if let Some(most) = self.max_mib {
                let mib = bytes / f64::from(1 << 20);
                report.check(format!("it holds at most {most} MiB"), mib <= most, || format!("{mib:.1} MiB"));
            }
        }
        Ok(report)
    }
}
