//! The server's side: starts the process that reads, listens to it, and ends it.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Instant;

use dalston_engine_sdk::batch::{Heard, TaskContext, TaskError, TaskProcess};

use crate::Rejection;
use crate::child::{self, Line};
use crate::output::{MIX, channel_file};
use crate::reading::{Read, Stop, Wanted};

/// Has a child read the upload.
pub fn read(program: &Path, args: &[OsString], wanted: &Wanted, ctx: &dyn TaskContext) -> Result<Read, TaskError> {
    let mut child = TaskProcess::start(program, args, wanted)
        .map_err(|error| TaskError::failed(format!("starting the process that reads audio: {error}")))?;
    let mut heard = Instant::now();
    let result = loop {
        match child.hear(ctx)? {
            Heard::Line(Line::Progress(done)) => {
                heard = Instant::now();
                ctx.progress(done.clamp(0.0, 1.0));
            }
            Heard::Line(Line::Done(result)) => break result,
            Heard::Ended(status) => break Err(verdict(status, wanted)),
            Heard::Nothing => {}
        }
        if heard.elapsed() > wanted.limits.stall {
            let stall = wanted.limits.stall;
            break Err(Rejection::corrupt(format!("its decoder came to no end with it within {stall:?}")).into());
        }
    };
    let read = result.map_err(|stop| child::error(&stop))?;
    ctx.progress(1.0);
    if read.files == expected(wanted, read.prepared.channels) {
        Ok(read)
    } else {
        Err(TaskError::failed("the process that reads audio wrote other files than it was asked for"))
    }
}

fn expected(wanted: &Wanted, channels: u8) -> Vec<String> {
    let channels = if wanted.channels { channels } else { 0 };
    std::iter::once(MIX.to_owned()).chain((0..channels.into()).map(channel_file)).collect()
}

/// What it means that a child has ended without a last word.
fn verdict(status: ExitStatus, wanted: &Wanted) -> Stop {
    match status.signal() {
        // Out of its own memory, out of stack, or worse: it would be so again.
        Some(number @ (signal::ABRT | signal::SEGV | signal::BUS | signal::ILL)) => {
            let memory = wanted.limits.memory >> 20;
            Rejection::corrupt(format!("its decoder ended by signal {number}, with {memory} MiB to use")).into()
        }
        // The machine's memory ran out, or somebody ended it.
        _ => Stop::Failed(format!("the process that reads audio ended: {status}")),
    }
}

/// Signals by which a process is ended for what it does.
mod signal {
    use rustix::process::Signal;

    pub const ABRT: i32 = Signal::ABORT.as_raw();
    pub const SEGV: i32 = Signal::SEGV.as_raw();
    pub const BUS: i32 = Signal::BUS.as_raw();
    pub const ILL: i32 = Signal::ILL.as_raw();
}
