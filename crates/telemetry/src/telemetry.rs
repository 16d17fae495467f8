//! Setting telemetry up, once in a process, and taking it down with everything delivered.

use std::io::Write;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

use crate::export::{ExporterThread, SpanCounters};
use crate::logs::LogLines;
use crate::metrics::process_span_counters;
use crate::options::Options;
use crate::{TelemetryError, Tracers, bridge, panics};

/// How long a shutdown may take when the collector is away: two seconds are promised, and a busy machine is late.
const SHUTDOWN: Duration = Duration::from_millis(1500);

/// Sets up logs and spans for `service` as the environment says.
///
/// # Errors
/// [`TelemetryError::Config`] names every bad variable; nothing is set up then.
pub fn configure_tracing(service: &'static str) -> Result<TelemetryGuard, TelemetryError> {
    Telemetry::init(&Options::from_env(service)?)
}

/// The telemetry of a process.
#[derive(Debug)]
pub struct Telemetry;

impl Telemetry {
    /// Sets up logs and spans as `options` say, for the whole process. Keep the guard until the end of `main`.
    ///
    /// # Errors
    /// [`TelemetryError`]; a second call in a process gives `AlreadyInstalled`.
    pub fn init(options: &Options) -> Result<TelemetryGuard, TelemetryError> {
        options.log_filter()?;
        let (tracers, guard) = Tracers::start(options, process_span_counters().clone())?;
        let subscriber = subscriber(options, &tracers, write_stderr)?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::AlreadyInstalled)?;
        tracers.install()?;
        panics::log_panics();
        Ok(guard)
    }
}

/// Log lines to `write`, and the bridge if there are spans.
fn subscriber(
    options: &Options,
    tracers: &Tracers,
    write: impl Fn(&[u8]) + Send + Sync + 'static,
) -> Result<impl Subscriber + Send + Sync + 'static, TelemetryError> {
    let spans = tracers.pipeline().cloned().map(bridge::layer);
    let lines = LogLines::new(options, !tracers.is_off(), write).with_filter(options.log_filter()?);
    Ok(tracing_subscriber::registry().with(spans).with(lines))
}

fn write_stderr(line: &[u8]) {
    // There is nowhere left to report that standard error is closed.
    let _ = std::io::stderr().lock().write_all(line);
}

/// Delivers what is queued when it goes. Drop it last, after the server has drained.
#[derive(Debug)]
#[must_use = "dropping the guard ends the export of spans"]
pub struct TelemetryGuard(Option<ExporterThread>);

impl TelemetryGuard {
    pub(crate) fn new(exporter: Option<ExporterThread>) -> Self {
        Self(exporter)
    }

    pub(crate) fn idle() -> Self {
        Self(None)
    }

    /// Delivers what has ended so far, waiting at most `timeout`. It blocks, so call it from a blocking thread.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.0.as_ref().is_none_or(|exporter| exporter.flush(timeout))
    }

    /// Delivers what is queued and ends the exporter, within two seconds whatever the collector does. What could not be
    /// delivered is counted in [`SpanCounters`]. Same as dropping the guard, but it says so.
    pub fn shutdown(self) {}

    fn stop(&mut self) {
        if let Some(exporter) = self.0.take() {
            exporter.shutdown(SHUTDOWN);
        }
    }
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        self.stop();
    }
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<TelemetryGuard>();
    is_send::<crate::SessionTrace>();
    is_send::<SpanCounters>();
};

#[cfg(test)]
mod tests;
