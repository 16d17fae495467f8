//! The task of a test.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::TaskContext;

/// What an engine sees of its task when a test runs it: a minute of time, and somebody who takes notes and may cancel.
#[derive(Debug, Default)]
pub struct Watched {
    is_cancelled: AtomicBool,
    progress: Mutex<Vec<f64>>,
}

impl Watched {
    /// One that is not wanted from the beginning.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { is_cancelled: AtomicBool::new(true), ..Self::default() }
    }

    /// The task is wanted no longer.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// All that the engine said of its progress.
    ///
    /// # Panics
    /// When it fell back, or is no share.
    pub fn progress(&self) -> Vec<f64> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_share = progress.iter().all(|done| (0.0..=1.0).contains(done));
        assert!(is_share && progress.is_sorted(), "this progress is none: {progress:?}");
        progress
    }
}

impl TaskContext for Watched {
    fn progress(&self, done: f64) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    fn time_left(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    fn request_id(&self) -> &str {
        "req_test"
    }
}
