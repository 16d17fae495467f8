//! What can go wrong while telemetry starts. Afterwards nothing does: a span that cannot be delivered is counted.

use std::fmt;

/// An environment variable with a value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadVariable {
    /// Its name.
    pub key: &'static str,
    /// What it held.
    pub value: String,
    /// What would be right.
    pub expected: String,
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}: expected {}", self.key, self.value, self.expected)
    }
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Every variable that is wrong, not only the first.
    #[error("bad telemetry configuration: {}", join(.0))]
    Config(Vec<BadVariable>),
    /// The OTLP exporter refused its settings.
    #[error("cannot build the OTLP exporter for {endpoint}: {reason}")]
    Exporter {
        /// Where it was to send.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// The exporter's thread or runtime could not be made.
    #[error("cannot start the exporter's thread")]
    Thread(#[source] std::io::Error),
    /// Telemetry is set up once in a process.
    #[error("telemetry is already set up in this process")]
    AlreadyInstalled,
}

fn join(problems: &[BadVariable]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
