//! `start`: how long a server takes until it is ready, and what it holds then.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use tokio::time::Instant;

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
            waited.push(began.elapsed());
            held.extend(stage.memory().await.map(|memory| memory.bytes));
            let ended = stage.run(|_| async { Ok(Report::new("start", String::new())) }).await?;
            for check in ended.checks.into_iter().filter(|check| !check.ok) {
                report.checks.push(check);
            }
            report.notes.extend(ended.notes);
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1_000.0;
        let (median, longest) = (milliseconds(middle(&mut waited)), milliseconds(waited[waited.len() - 1]));
        report.figure("ready_ms", "start → ready, median", Value::Number(median, "ms"));
        report.figure("ready_ms_max", "… longest", Value::Number(longest, "ms"));
        if let Some(most) = self.max_ms {
            report.check(format!("it is ready in {most} ms"), median <= most, || format!("{median:.0} ms"));
        }
        if !held.is_empty() {
            let bytes = middle(&mut held);
            report.figure("server_memory_ready_bytes", "server memory when ready, median", Value::Bytes(bytes));
            if let Some(most) = self.max_mib {
                let mib = bytes as f64 / f64::from(1 << 20);
                report.check(format!("it holds at most {most} MiB"), mib <= most, || format!("{mib:.1} MiB"));
            }
        }
        Ok(report)
    }
}

/// The median; sorts them.
fn middle<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
