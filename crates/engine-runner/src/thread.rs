//! The thread that an engine works on.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use dalston_engine_sdk::batch::{TaskError, TaskOutput};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

use crate::slots::Stuck;

/// Native code expects as much as a main thread has; what is not used costs nothing.
const STACK: usize = 8 << 20;

/// How a thread ended.
#[derive(Debug)]
pub(crate) enum Returned {
    /// With what the engine says.
    Said(Result<TaskOutput, TaskError>),
    /// By a panic. Its text may hold anything, so it goes no further than the panic hook.
    Panicked,
}

/// A thread that cannot be killed: it is waited for, or given up.
#[derive(Debug)]
pub(crate) struct EngineThread {
    returned: oneshot::Receiver<Returned>,
    held: Arc<Mutex<Option<Stuck>>>,
}

impl EngineThread {
    /// Starts one in the context of the runtime, so that an engine may block on its futures.
    pub(crate) fn spawn(
        name: String,
        process: impl FnOnce() -> Result<TaskOutput, TaskError> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, returned) = oneshot::channel();
        let held = Arc::new(Mutex::new(None));
        let (runtime, holds) = (Handle::current(), held.clone());
        std::thread::Builder::new().name(name).stack_size(STACK).spawn(move || {
            let _runtime = runtime.enter();
            let result = catch_unwind(AssertUnwindSafe(process));
            // Nobody listens when the thread was given up.
            let _ = tell.send(result.map_or(Returned::Panicked, Returned::Said));
            drop(holds);
        })?;
        Ok(Self { returned, held })
    }

    /// Waits for its end.
    pub(crate) async fn join(&mut self) -> Returned {
        // Gone without a word: what it panicked with panicked itself.
        (&mut self.returned).await.unwrap_or(Returned::Panicked)
    }

    /// Waits no longer. `stuck` is dropped when the thread ends after all.
    pub(crate) fn give_up(self, stuck: Stuck) {
        *self.held.lock() = Some(stuck);
    }
}
