//! The process that meets the upload: one order on standard input, lines of JSON on standard output, and the end.

use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dalston_engine_sdk::batch::TaskError;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::reading::{self, Read, Stop, Wanted};

/// A line from the child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// It is alive; this share of the file is read.
    Progress(f64),
    /// The last line.
    Done(Result<Read, Stop>),
}

/// Between two lines, unless it hangs.
const BETWEEN: Duration = Duration::from_millis(100);

/// Runs this process as the reader of one upload. `main` calls it for `engine-host prepare`, before it starts any thread.
pub fn run() -> ExitCode {
    let mut order = String::new();
    let wanted: Option<Wanted> = match io::stdin().lock().read_line(&mut order) {
        Ok(_) => serde_json::from_str(&order).ok(),
        Err(_) => None,
    };
    let Some(wanted) = wanted else {
        eprintln!("the engine host is started by the server; it cannot be used by hand");
        return ExitCode::from(2);
    };
    // The server sees how this process ends; nobody sees what it says of it.
    panic::set_hook(Box::new(|_| {}));
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() || bound_memory(wanted.limits.memory).is_err() {
        return ExitCode::FAILURE;
    }
    let mut said = Instant::now();
    let result = caught(&wanted, &mut |done| {
        if said.elapsed() >= BETWEEN {
            said = Instant::now();
            // A server that is gone wants nothing more.
            say(&Line::Progress(done)).map_err(|_gone| Stop::Cancelled)?;
        }
        Ok(())
    });
    match say(&Line::Done(result)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The same without a process of its own.
pub fn here(wanted: &Wanted, watch: &mut dyn FnMut(f64) -> Result<(), TaskError>) -> Result<Read, TaskError> {
    let read = caught(wanted, &mut |done| watch(done).map_err(|_cancelled| Stop::Cancelled));
    read.map_err(|stop| error(&stop))
}

/// What a task is told.
pub fn error(stop: &Stop) -> TaskError {
    match stop {
        Stop::Rejected(rejection) => rejection.clone().into(),
        Stop::Failed(why) => TaskError::failed(why),
        Stop::Cancelled => TaskError::Cancelled,
    }
}

fn caught(wanted: &Wanted, watch: &mut reading::Watch<'_>) -> Result<Read, Stop> {
    panic::catch_unwind(AssertUnwindSafe(|| reading::read(wanted, watch)))
        .unwrap_or_else(|_payload| Err(Rejection::corrupt("its decoder failed on it").into()))
}

fn say(line: &Line) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// So much more address space than now. What needs more ends this process alone.
fn bound_memory(more: u64) -> io::Result<()> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split_whitespace().next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    let limit = pages * rustix::param::page_size() as u64 + more;
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: Some(limit.min(maximum.unwrap_or(limit))), maximum })?;
    Ok(())
}
