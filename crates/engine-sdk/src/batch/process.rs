//! A process of its own for one task, for work that may crash, hang or only end by being ended.

use std::{
    ffi::OsString,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{TaskContext, TaskError};

/// Between two looks at whether the task is still wanted.
const LOOK: Duration = Duration::from_millis(100);
/// Lines that wait to be looked at. When they are as many the process waits with the next.
const LINES: usize = 16;
/// Bytes that a process may say in all; what comes after is not heard. Progress ten times a second for a day is less.
const MOST_SAID: u64 = 100 << 20;

/// It is given one order, as a line of JSON, and says lines of JSON that are each a `T`. It does not outlive this value.
#[derive(Debug)]
pub struct TaskProcess<T> {
    child: Child,
    lines: Receiver<T>,
}

/// What was heard of a [`TaskProcess`].
#[derive(Debug, PartialEq)]
pub enum Heard<T> {
    /// A line.
    Line(T),
    /// Nothing for a tenth of a second.
    Nothing,
    /// It has ended, and said nothing more.
    Ended(ExitStatus),
}

impl<T: DeserializeOwned + Send + 'static> TaskProcess<T> {
    /// Starts it without an environment, which it could tell.
    ///
    /// # Errors
    /// As the system's. A process that ends before it has read its order is no error here: how it ended says more.
    pub fn start(program: &Path, args: &[OsString], order: &impl Serialize) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A terminal's interrupt is for the server, which drains.
            .process_group(0)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (sender, lines) = mpsc::sync_channel(LINES);
        // From here on it is ended whatever happens.
        let process = Self { child, lines };
        let (mut stdin, stdout) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut order = serde_json::to_string(order)?;
        order.push('\n');
        match stdin.write_all(order.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        // It ends with the process, whose output ends then.
        thread::Builder::new().name("task-process".to_owned()).spawn(move || listen(stdout, &sender))?;
        Ok(process)
    }

    /// Waits a moment for what it says.
    ///
    /// # Errors
    /// [`TaskError::Cancelled`] if the task is to end.
    pub fn hear(&mut self, ctx: &dyn TaskContext) -> Result<Heard<T>, TaskError> {
        ctx.check()?;
        match self.lines.recv_timeout(LOOK) {
            Ok(line) => Ok(Heard::Line(line)),
            Err(RecvTimeoutError::Timeout) => Ok(Heard::Nothing),
            Err(RecvTimeoutError::Disconnected) => self.child.wait().map(Heard::Ended).map_err(TaskError::failed),
        }
    }
}

impl<T> Drop for TaskProcess<T> {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Up to the first line that is no `T`.
fn listen<T: DeserializeOwned>(stdout: ChildStdout, lines: &SyncSender<T>) {
    for text in BufReader::new(stdout.take(MOST_SAID)).lines() {
        let Some(line) = text.ok().and_then(|text| serde_json::from_str(&text).ok()) else { return };
        if lines.send(line).is_err() {
            return;
        }
    }
}
