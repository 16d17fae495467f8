//! One warning for an outage of the collector, not one for every batch.

use std::time::{Duration, Instant};

const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// What is known of the collector's absence.
#[derive(Debug)]
pub(crate) struct Outage {
    endpoint: String,
    lost: u64,
    warned: Option<Instant>,
}

impl Outage {
    pub(crate) fn new(endpoint: String) -> Self {
        Self { endpoint, lost: 0, warned: None }
    }

    pub(crate) fn failed(&mut self, reason: &str, spans: u64) {
        self.lost += spans;
        if self.is_due(Instant::now()) {
            let (endpoint, lost) = (self.endpoint.as_str(), self.lost);
            tracing::warn!(endpoint, spans_lost = lost, reason, "collector does not take spans");
        }
    }

    pub(crate) fn delivered(&mut self) {
        if self.warned.take().is_some() {
            tracing::info!(endpoint = self.endpoint.as_str(), spans_lost = self.lost, "collector takes spans again");
        }
        self.lost = 0;
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.warned.is_none_or(|at| now.saturating_duration_since(at) >= REPEAT_AFTER);
        if due {
            self.warned = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_a_minute() {
        let mut outage = Outage::new(String::new());
        let start = Instant::now();
        let told = (0..180).filter(|second| outage.is_due(start + Duration::from_secs(*second))).count();
        assert_eq!(told, 3);
    }
}
