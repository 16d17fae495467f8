//! What an engine may say and ask while it works.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dalston_engine_sdk::batch::TaskContext;
use tokio::{sync::Notify, time::Instant};

use crate::stop::Stop;

/// How far an attempt is. Never goes back.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The bits of a number from 0 to 1: those of a greater one are greater.
    bits: AtomicU64,
    moved: Notify,
}

impl Progress {
    pub(crate) fn set(&self, done: f64) {
        // What is no number, and -0, whose bits are great, count as 0.
        let bits = if done > 0.0 { done.min(1.0).to_bits() } else { 0 };
        if self.bits.fetch_max(bits, Ordering::Relaxed) < bits {
            self.moved.notify_one();
        }
    }

    pub(crate) fn get(&self) -> f64 {
        f64::from_bits(self.bits.load(Ordering::Relaxed))
    }

    /// Waits until it has moved since this was last waited for.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }
}

/// Belongs to the thread of one attempt.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: Arc<Stop>,
    pub(crate) deadline: Instant,
    pub(crate) traceparent: Option<String>,
    pub(crate) request_id: String,
}

impl TaskContext for Context {
    fn progress(&self, done: f64) {
        self.progress.set(done);
    }

    fn is_cancelled(&self) -> bool {
        self.stop.is_requested()
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn traceparent(&self) -> Option<String> {
        self.traceparent.clone()
    }

    fn request_id(&self) -> &str {
        &self.request_id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn progress_is_the_greatest_of_all_that_was_said(said in proptest::collection::vec(any::<f64>(), 0..20)) {
            let progress = Progress::default();
            said.iter().for_each(|done| progress.set(*done));
            let greatest = said.iter().filter(|done| !done.is_nan()).fold(0.0_f64, |a, b| a.max(b.clamp(0.0, 1.0)));
            prop_assert_eq!(progress.get(), greatest);
        }
    }
}
