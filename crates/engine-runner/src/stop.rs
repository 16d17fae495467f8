//! To ask a task to end, and why.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// Why a task is to end before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its job was cancelled, or failed elsewhere.
    Cancelled,
    /// It is another's by now.
    Lost,
    /// It has taken too long.
    Deadline,
    /// The runner goes.
    Shutdown,
}

impl Reason {
    /// A word of the program.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Deadline => "deadline_exceeded",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The first reason counts; a stop is never taken back.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: CancellationToken,
    reason: OnceLock<Reason>,
}

impl Stop {
    pub(crate) fn request(&self, reason: Reason) {
        // Set before it is told: who sees that he is asked sees why.
        if self.reason.set(reason).is_ok() {
            self.asked.cancel();
        }
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.asked.is_cancelled()
    }

    /// Waits to be asked.
    pub(crate) async fn requested(&self) -> Reason {
        self.asked.cancelled().await;
        *self.reason.get().expect("it is set before it is told")
    }
}
