//! What all sessions of a run add up to. Shared by them, read by the progress line while it grows.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    fault::{Fault, Faults},
    latency::{Latency, Moment},
};

/// Counts, latencies and faults. Its size does not depend on how long a run lasts, nor on how many sessions it has.
#[derive(Debug)]
pub struct Tally {
    /// Sessions that began.
    pub begun: Counter,
    /// Sessions that ended, in any way.
    pub ended: Counter,
    /// Frames of audio that the server's socket took.
    pub frames: Counter,
    /// Partials that came.
    pub partials: Counter,
    /// Finals that came.
    pub finals: Counter,
    /// Words in them.
    pub words: Counter,
    /// The greatest lag that the server warned of, milliseconds.
    worst_lag: AtomicU64,
    /// `engine/model` as the first session was told.
    model: OnceLock<String>,
    // Short critical sections without an await: std-like locks.
    latencies: Mutex<[Latency; Moment::ALL.len()]>,
    /// Finals since the last look, for the plot over time.
    recent: Mutex<Latency>,
    faults: Mutex<BTreeMap<Fault, Faults>>,
}

/// Something that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            begun: Counter::default(),
            ended: Counter::default(),
            frames: Counter::default(),
            partials: Counter::default(),
            finals: Counter::default(),
            words: Counter::default(),
            worst_lag: AtomicU64::new(0),
            model: OnceLock::new(),
            latencies: Mutex::new(std::array::from_fn(|_| Latency::default())),
            recent: Mutex::default(),
            faults: Mutex::default(),
        }
    }
}

impl Tally {
    /// Sessions that are open now.
    pub fn open(&self) -> u64 {
        self.begun.get().saturating_sub(self.ended.get())
    }

    /// Counts what passed since `due`. Nothing happens before it is due, so an earlier `now` counts as none.
    pub fn since(&self, moment: Moment, due: Instant, now: Instant) {
        self.took(moment, now.saturating_duration_since(due));
    }

    /// Counts a latency.
    pub fn took(&self, moment: Moment, took: Duration) {
        self.latencies.lock()[moment as usize].record(took);
        if moment == Moment::BeyondEndpointing {
            self.recent.lock().record(took);
        }
    }

    /// The latencies of this moment so far.
    pub fn latency(&self, moment: Moment) -> Latency {
        self.latencies.lock()[moment as usize].clone()
    }

    /// Median and 99th percentile of the finals since the last call, beyond the endpointing time; `None` without any.
    pub fn take_recent(&self) -> Option<(Duration, Duration)> {
        let mut recent = self.recent.lock();
        let seen = (recent.count() > 0).then(|| (recent.quantile(0.5), recent.quantile(0.99)));
        recent.reset();
        seen
    }

    /// Counts a fault; `example` says which, and is made only for the first few.
    pub fn fault(&self, fault: Fault, example: impl FnOnce() -> String) {
        self.faults.lock().entry(fault).or_default().add(example);
    }

    /// Faults of this kind so far.
    pub fn faults(&self, fault: Fault) -> Faults {
        self.faults.lock().get(&fault).cloned().unwrap_or_default()
    }

    /// Faults of all kinds so far.
    pub fn fault_count(&self) -> u64 {
        self.faults.lock().values().map(|faults| faults.count).sum()
    }

    /// One fault of those so far, in words.
    pub fn first_fault(&self) -> Option<String> {
        self.faults.lock().values().find_map(|faults| faults.examples.first().cloned())
    }

    /// Notes the lag that a warning told of.
    pub fn lagged(&self, seconds: f64) {
        self.worst_lag.fetch_max((seconds * 1_000.0) as u64, Relaxed);
    }

    /// The greatest lag that a warning told of.
    pub fn worst_lag(&self) -> Duration {
        Duration::from_millis(self.worst_lag.load(Relaxed))
    }

    /// Notes what recognises.
    pub fn recognised_by(&self, model: &str) {
        self.model.get_or_init(|| model.to_owned());
    }

    /// `engine/model`, once a session began.
    pub fn model(&self) -> Option<&str> {
        self.model.get().map(String::as_str)
    }
}
