//! SIGTERM and SIGINT: the first drains, the second ends.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by the first signal. A second one ends the process at once, with the code that a shell shows for it.
pub fn first() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot hear SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot hear SIGINT")?;
    let drain = CancellationToken::new();
    let first = drain.clone();
    // Lives as long as the process: it is what ends it.
    tokio::spawn(async move {
        loop {
            let code = tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            };
            if first.is_cancelled() {
                tracing::warn!(event = "second_signal", "ending at once");
                std::process::exit(code);
            }
            first.cancel();
        }
    });
    Ok(drain)
}
