//! Limits that make no sense without each other: each is fine by itself, and the two are not.

use super::{choice::EngineName, layers::Layers, problem::Problem, settings::Settings};

/// Two settings, whether they fit, and why they would not.
struct Pair {
    key: &'static str,
    with: &'static str,
    fits: bool,
    otherwise: &'static str,
}

impl Settings {
    /// Every pair of settings that contradict each other, named by both. Of one that could not be read, nothing is said.
    pub fn contradictions(&self, layers: &Layers, unread: &[Problem]) -> Vec<Problem> {
        let is_read = |key: &str| !unread.iter().any(|problem| problem.is_unread(key));
        let contradicts = |pair: &Pair| !pair.fits && is_read(pair.key) && is_read(pair.with);
        let problem = |Pair { key, with, otherwise, .. }: Pair| {
            Problem::new(layers.place_of(key), format!("does not go with {}: {otherwise}", layers.place_of(with)))
        };
        self.pairs().into_iter().filter(contradicts).map(problem).collect()
    }

    fn pairs(&self) -> [Pair; 3] {
        [
            Pair {
                key: "engine.name",
                with: "engine.remote.url",
                fits: self.remote_url.is_some() || !self.engines.contains(&EngineName::Remote),
                otherwise: "there is no server to ask; set it, such as to https://api.openai.com/v1",
            },
            Pair {
                key: "realtime.lag_warning",
                with: "realtime.lag_limit",
                fits: self.lag_warning.get() <= self.lag_limit.get(),
                otherwise: "a session would end before its client is warned",
            },
            Pair {
                key: "gateway.stream.worker_timeout",
                with: "realtime.drain_deadline",
                fits: self.worker_timeout.get() > self.drain_deadline.get(),
                otherwise: "a worker would be given up that still has time to answer",
            },
        ]
    }
}
