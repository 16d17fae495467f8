//! The server's side: starts the process that reads, listens to it, and ends it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use dalston_engine_sdk::batch::{TaskContext, TaskError};

use crate::Rejection;
use crate::child::{self, Line};
use crate::output::{MIX, channel_file};
use crate::reading::{Read, Stop, Wanted};

/// Between two looks at whether the task is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// Lines that wait to be looked at. When they are as many the child waits with the next.
const LINES: usize = 16;
/// Bytes that a child may say in all: progress ten times a second for a day is less.
const MOST_SAID: u64 = 64 << 20;

/// Has a child read the upload.
pub fn read(program: &Path, args: &[OsString], wanted: &Wanted, ctx: &dyn TaskContext) -> Result<Read, TaskError> {
    let failed = |error: io::Error| TaskError::failed(format!("starting the process that reads audio: {error}"));
    let mut child = Running::start(program, args).map_err(failed)?;
    let lines = child.give(wanted).map_err(failed)?;
    let mut heard = Instant::now();
    let result = loop {
        match lines.recv_timeout(LOOK) {
            Ok(Line::Progress(done)) => {
                heard = Instant::now();
                ctx.progress(done.clamp(0.0, 1.0));
            }
            Ok(Line::Done(result)) => break result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Err(verdict(child.end()?, wanted)),
        }
        ctx.check()?;
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

/// A child that does not outlive its task.
struct Running(Child);

impl Running {
    fn start(program: &Path, args: &[OsString]) -> io::Result<Self> {
        let child = Command::new(program)
            .args(args)
            // Nothing that could be told.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A terminal's interrupt is for the server, which drains.
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    /// Gives the order and listens on a thread, which ends with the child.
    fn give(&mut self, wanted: &Wanted) -> io::Result<Receiver<Line>> {
        let (Some(mut stdin), Some(stdout)) = (self.0.stdin.take(), self.0.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut order = serde_json::to_string(wanted)?;
        order.push('\n');
        match stdin.write_all(order.as_bytes()) {
            // How it ended says more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        let (sender, lines) = mpsc::sync_channel(LINES);
        thread::Builder::new().name("prepare".to_owned()).spawn(move || listen(stdout, &sender))?;
        Ok(lines)
    }

    /// How it ended.
    fn end(&mut self) -> Result<ExitStatus, TaskError> {
        self.0.wait().map_err(TaskError::failed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn listen(stdout: ChildStdout, lines: &SyncSender<Line>) {
    for text in BufReader::new(stdout.take(MOST_SAID)).lines() {
        let Some(line) = text.ok().and_then(|text| serde_json::from_str(&text).ok()) else { return };
        if lines.send(line).is_err() {
            return;
        }
    }
}
