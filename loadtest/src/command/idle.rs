//! `idle`: what an open session costs that says nothing.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep_until};

use crate::{
    crowd::crowd,
    descriptors, duration,
    fault::Fault,
    latency::Moment,
    report::{Report, Value},
    schedule::{Arrivals, Pace},
    server::Observer,
    session::{Part, Session},
    stage::Stage,
    tally::Tally,
};

/// Opens sessions at a set rate, holds them with keepalives, ends them all.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    /// Sessions to hold open.
    #[arg(long, default_value_t = 2_000)]
    sessions: usize,
    /// Connections opened in a second.
    #[arg(long, default_value_t = 500.0, value_parser = super::positive)]
    rate: f64,
    /// How long all are held open.
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    hold: Duration,
    /// Time between two keepalives of a session.
    #[arg(long, default_value = "15s", value_parser = duration::parse)]
    keepalive: Duration,
    /// Fails when a session costs the server more than this many KiB.
    #[arg(long, value_name = "KIB")]
    max_kib: Option<f64>,
    /// Fails when the 99th percentile of connect → session.begin is above this many milliseconds.
    #[arg(long, value_name = "MS")]
    max_begin_ms: Option<f64>,
}

/// Sessions that end in a second: all at once would only measure a queue.
const ENDS_PER_SECOND: f64 = 1_000.0;

impl Idle {
    /// Runs it.
    ///
    /// # Errors
    /// When this machine cannot hold so many connections.
    pub async fn run(&self, stage: Arc<Stage>) -> anyhow::Result<Report> {
        descriptors::need(self.sessions)?;
        // What the first session makes for all that follow is not a session's cost.
        self.hold(&stage, 1, Duration::ZERO, &Arc::default()).await;
        let before = (stage.memory().await, stage.usage().await);

        let tally = Arc::new(Tally::default());
        let ramp = Duration::from_secs_f64(self.sessions as f64 / self.rate);
        let observer = Observer::start("idle", ramp + self.hold, Arc::clone(&tally), stage.tree);
        let look = async {
            sleep_until(Instant::now() + ramp + self.hold).await;
            (stage.memory().await, stage.usage().await, tally.open())
        };
        let ((), (memory, usage, open)) = tokio::join!(self.hold(&stage, self.sessions, ramp, &tally), look);
        let series = observer.stop();
        let after = stage.settled(before.0, stage.session.patience).await;

        let about = format!("{} sessions opened at {} a second, held {:?}", self.sessions, self.rate, self.hold);
        let mut report = Report::new("idle", about);
        report.series = series;
        report.figure("sessions", "sessions held open", Value::Count(open));
        if let (Some(memory_before), Some(memory), Some(after)) = (before.0, memory, after) {
            let each = memory.bytes.saturating_sub(memory_before.bytes) / open.max(1);
            report.figure("server_memory_before_bytes", "server memory before", Value::Bytes(memory_before.bytes));
            report.figure("server_memory_held_bytes", "… with all open", Value::Bytes(memory.bytes));
            report.figure("server_memory_after_bytes", "… after all have ended", Value::Bytes(after.bytes));
            report.figure("bytes_per_session", "server memory per session", Value::Bytes(each));
            let leaked = after.leaked_since(&memory_before);
            report.check("the server closed every descriptor", leaked == 0, || format!("{leaked} more than before"));
            if let Some(limit) = self.max_kib {
                let each = each as f64 / 1024.0;
                report
                    .check(format!("a session costs at most {limit} KiB"), each <= limit, || format!("{each:.1} KiB"));
            }
        }
        if let (Some(before), Some(usage)) = (before.1, usage) {
            let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64() * 1_000.0;
            let each = cpu / self.sessions as f64;
            report.figure("server_cpu_ms_per_session", "server CPU to open and hold one", Value::Number(each, "ms"));
            report.figure("server_threads", "server threads", Value::Count(usage.threads));
        }
        report.latencies(&tally, &[Moment::Begin]);
        report.check("all sessions were open at once", open == self.sessions as u64, || format!("{open} were"));
        report.faults(&tally, &[Fault::Opening, Fault::Warning, Fault::Error, Fault::Message, Fault::Ending]);
        super::limit(&mut report, "connect → session.begin", &tally, Moment::Begin, self.max_begin_ms);
        Ok(report)
    }

    /// Opens sessions over `ramp`, holds them and ends them in the same order.
    async fn hold(&self, stage: &Stage, sessions: usize, ramp: Duration, tally: &Arc<Tally>) {
        let client = Arc::new(stage.target.client(stage.session.config(16_000)));
        let start = Instant::now();
        let arrivals = Arrivals { start, sessions, ramp, jitter: Duration::ZERO };
        // A moment longer than the look at the memory of all.
        let held = start + ramp + self.hold + Duration::from_millis(500);
        let until = |number: usize| held + Duration::from_secs_f64(number as f64 / ENDS_PER_SECOND);
        let until = |number: usize| if sessions == 1 { start } else { until(number) };
        crowd(arrivals, |number, due| {
            let session = Session {
                client: Arc::clone(&client),
                number,
                part: Part::Hold { until: until(number), keepalive: self.keepalive },
                pace: Pace { start: due, frame: Duration::from_millis(100), speed: 1.0 },
                endpointing: stage.session.endpointing(),
                patience: stage.session.patience,
                expected: None,
                keep: false,
                tally: Arc::clone(tally),
            };
            session.run()
        })
        .await;
    }
}
