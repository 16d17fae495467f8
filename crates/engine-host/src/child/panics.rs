//! Panics as errors: an engine's panic is the reason that its server is told, not text on a terminal.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use dalston_engine_sdk::EngineError;

thread_local! {
    /// What the last panic said, and where.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says instead of printing it.
pub fn keep_quiet() {
    panic::set_hook(Box::new(|info| {
        let said = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        LAST.set(Some(format!("panicked{place}: {said}")));
    }));
}

/// Calls the engine; a panic becomes [`EngineError::Failed`] with its message. Afterwards the engine is not used again.
pub fn caught<T>(call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    panic::catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_payload| Err(EngineError::Failed(LAST.take().unwrap_or_else(|| "panicked".to_owned()))))
}
