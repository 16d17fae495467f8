//! Panics as log lines, instead of text between them.

use std::panic::{PanicHookInfo, set_hook};

/// From now on a panic of any thread is one line of the log, with its place. Its message is shown when it is a literal of the
/// program; one that was formatted may hold what a client said, and is withheld.
pub(crate) fn log_panics() {
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(place, thread, reason = reason(panic), "panicked");
    }));
}

fn reason(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("withheld: the message was formatted")
}
