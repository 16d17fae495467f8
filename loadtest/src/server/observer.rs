//! Watches a run from a thread of its own, so that looking at `/proc` and drawing a progress line hold up no session.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::ProcessTree;
use crate::{duration::shown, tally::Tally};

/// How a run stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the run began.
    pub at: f64,
    /// Sessions that were open.
    pub open: u64,
    /// Frames sent since the run began.
    pub frames: u64,
    /// CPU that the server used since the sample before; 100 is one core.
    pub server_cpu_percent: Option<f64>,
    /// The server's resident memory.
    pub server_rss_bytes: Option<u64>,
    /// CPU that this generator used since the sample before.
    pub generator_cpu_percent: f64,
    /// Finals since the sample before, beyond the endpointing time, milliseconds.
    pub final_p50_ms: Option<f64>,
    /// As above, the 99th percentile.
    pub final_p99_ms: Option<f64>,
}

/// A running watch.
#[derive(Debug)]
pub struct Observer {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

/// Between two looks at the progress.
const LOOK: Duration = Duration::from_millis(200);
/// Samples that are kept. When it is full, every second one is left out and half as many are taken from then on.
const MOST_SAMPLES: usize = 1_200;

impl Observer {
    /// Watches what `tally` counts and `tree` uses, in a line headed `title`. `lasts` is how long the run will take, about.
    ///
    /// # Panics
    /// When the machine has no thread left.
    #[must_use]
    pub fn start(title: &str, lasts: Duration, tally: Arc<Tally>, tree: Option<ProcessTree>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let bar = progress_bar(title, lasts);
        let watch = Watch::new(tally, tree);
        let thread = std::thread::Builder::new().name("observer".into());
        let thread = thread.spawn(move || watch.run(&bar, &stopped)).expect("a thread can be started");
        Self { stop, thread }
    }

    /// Ends it and gives what it saw.
    #[must_use]
    pub fn stop(self) -> Vec<Sample> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn progress_bar(title: &str, lasts: Duration) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:.bold} {bar:24.cyan/dim} {elapsed_precise}  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    // Hidden by itself when standard error is no terminal.
    ProgressBar::new(lasts.as_millis() as u64).with_style(style).with_prefix(title.to_owned())
}

struct Watch {
    tally: Arc<Tally>,
    tree: Option<ProcessTree>,
    own: Option<ProcessTree>,
    began: Instant,
    sampled: Instant,
    interval: Duration,
    server_cpu: Duration,
    own_cpu: Duration,
    samples: Vec<Sample>,
}

impl Watch {
    fn new(tally: Arc<Tally>, tree: Option<ProcessTree>) -> Self {
        let own = ProcessTree::of(std::process::id()).ok();
        let now = Instant::now();
        let mut watch = Self {
            tally,
            tree,
            own,
            began: now,
            sampled: now,
            interval: Duration::from_secs(1),
            server_cpu: Duration::ZERO,
            own_cpu: Duration::ZERO,
            samples: Vec::new(),
        };
        watch.server_cpu = watch.server_usage().map_or(Duration::ZERO, |usage| usage.cpu);
        watch.own_cpu = watch.own_usage();
        watch
    }

    fn run(mut self, bar: &ProgressBar, stopped: &mpsc::Receiver<()>) -> Vec<Sample> {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if self.sampled.elapsed() >= self.interval {
                self.sample();
            }
            bar.set_position(self.began.elapsed().as_millis() as u64);
            bar.set_message(self.line());
        }
        self.sample();
        bar.finish_and_clear();
        self.samples
    }

    fn sample(&mut self) {
        let passed = self.sampled.elapsed().as_secs_f64();
        self.sampled = Instant::now();
        let percent = |used: Duration| 100.0 * used.as_secs_f64() / passed;
        let usage = self.server_usage();
        let own_cpu = self.own_usage();
        let millis = |latency: Duration| latency.as_secs_f64() * 1_000.0;
        let finals = self.tally.take_recent();
        self.samples.push(Sample {
            at: self.began.elapsed().as_secs_f64(),
            open: self.tally.open(),
            frames: self.tally.frames.get(),
            server_cpu_percent: usage.map(|usage| percent(usage.cpu.saturating_sub(self.server_cpu))),
            server_rss_bytes: usage.map(|usage| usage.rss),
            generator_cpu_percent: percent(own_cpu.saturating_sub(self.own_cpu)),
            final_p50_ms: finals.map(|(p50, _)| millis(p50)),
            final_p99_ms: finals.map(|(_, p99)| millis(p99)),
        });
        self.server_cpu = usage.map_or(self.server_cpu, |usage| usage.cpu);
        self.own_cpu = own_cpu;
        if self.samples.len() >= MOST_SAMPLES {
            self.interval *= 2;
            let mut n = 0;
            self.samples.retain(|_| {
                n += 1;
                n % 2 == 0
            });
        }
    }

    fn server_usage(&self) -> Option<super::Usage> {
        self.tree.as_ref()?.usage().ok()
    }

    /// Without the server, which may be a child of this program.
    fn own_usage(&self) -> Duration {
        self.own.as_ref().and_then(|own| own.own_cpu().ok()).unwrap_or_default()
    }

    fn line(&self) -> String {
        let tally = &self.tally;
        let mut line = format!("{} open", HumanCount(tally.open()));
        if tally.finals.get() > 0 {
            line += &format!(" · {} finals", HumanCount(tally.finals.get()));
        }
        if let Some(last) = self.samples.last() {
            if let Some(p99) = last.final_p99_ms {
                line += &format!(" · p99 {}", shown(Duration::from_secs_f64(p99 / 1_000.0)));
            }
            if let (Some(cpu), Some(rss)) = (last.server_cpu_percent, last.server_rss_bytes) {
                line += &format!(" · server {cpu:.0} % {}", HumanBytes(rss));
            }
        }
        match tally.fault_count() {
            0 => line,
            faults => format!("{line} · {} faults", HumanCount(faults)),
        }
    }
}
