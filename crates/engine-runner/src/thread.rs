//! The threads that an engine works on.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak, mpsc},
};

use dalston_engine_sdk::batch::{TaskError, TaskOutput};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::oneshot};

use crate::slots::Stuck;

/// Native code expects as much as a main thread has; what is not used costs nothing.
const STACK: usize = 8 << 20;

/// How a thread came back.
#[derive(Debug)]
pub(crate) enum Returned {
    /// With what the engine says.
    Said(Result<TaskOutput, TaskError>),
    /// By a panic. Its text may hold anything, so it goes no further than the panic hook.
    Panicked,
}

/// The threads of one engine. Who has done a task waits for the next; all end when this is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    name: String,
    idle: Arc<Mutex<Idle>>,
}

/// Threads that wait for a task, who came last in front: what it used is still at hand.
struct Idle {
    threads: Vec<mpsc::Sender<Task>>,
    /// As many as the engine has places. A thread more ends: it had been given up, and came back.
    limit: usize,
}

/// What a thread is to do.
struct Task {
    process: Box<dyn FnOnce() -> Result<TaskOutput, TaskError> + Send>,
    tell: oneshot::Sender<Returned>,
    holds: Arc<Mutex<Option<Stuck>>>,
}

/// A thread at work, which cannot be killed: it is waited for, or given up.
#[derive(Debug)]
pub(crate) struct EngineThread {
    returned: oneshot::Receiver<Returned>,
    held: Arc<Mutex<Option<Stuck>>>,
}

impl Threads {
    pub(crate) fn new(name: String, limit: usize) -> Self {
        Self { name, idle: Arc::new(Mutex::new(Idle { threads: Vec::new(), limit })) }
    }

    /// Gives a task to a thread that waits, or to a new one.
    fn give(&self, mut task: Task) -> io::Result<()> {
        loop {
            let Some(thread) = self.idle.lock().threads.pop() else { return self.spawn(task) };
            match thread.send(task) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(back)) => task = back,
            }
        }
    }

    /// Starts a thread in the context of the runtime, so that an engine may block on its futures.
    fn spawn(&self, first: Task) -> io::Result<()> {
        let (runtime, idle) = (Handle::current(), Arc::downgrade(&self.idle));
        let thread = std::thread::Builder::new().name(self.name.clone()).stack_size(STACK);
        thread.spawn(move || {
            let _runtime = runtime.enter();
            let mut next = Some(first);
            while let Some(task) = next {
                next = task.run(&idle);
            }
        })?;
        Ok(())
    }
}

impl Task {
    /// Does it, and waits for the next. `None`: there will be none for this thread.
    fn run(self, idle: &Weak<Mutex<Idle>>) -> Option<Self> {
        let Self { process, tell, holds } = self;
        let result = catch_unwind(AssertUnwindSafe(process));
        let (next, given) = mpsc::channel();
        if let Some(idle) = idle.upgrade() {
            let mut idle = idle.lock();
            if idle.threads.len() < idle.limit {
                idle.threads.push(next);
            }
        }
        // Back among those that wait before it is told: the next task finds it. Nobody listens when it was given up.
        let _ = tell.send(result.map_or(Returned::Panicked, Returned::Said));
        drop(holds);
        given.recv().ok()
    }
}

impl EngineThread {
    /// Has a thread do this.
    pub(crate) fn start(
        threads: &Threads,
        process: impl FnOnce() -> Result<TaskOutput, TaskError> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, returned) = oneshot::channel();
        let held = Arc::new(Mutex::new(None));
        threads.give(Task { process: Box::new(process), tell, holds: held.clone() })?;
        Ok(Self { returned, held })
    }

    /// Waits for its end.
    pub(crate) async fn join(&mut self) -> Returned {
        // Gone without a word: what it panicked with panicked itself.
        (&mut self.returned).await.unwrap_or(Returned::Panicked)
    }

    /// Waits no longer. `stuck` is dropped when the thread comes back after all.
    pub(crate) fn give_up(self, stuck: Stuck) {
        *self.held.lock() = Some(stuck);
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
