//! The host's process, as the server holds it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::config::HostConfig;
use crate::control;

/// A host that runs. Dropping it closes its control socket, upon which it ends; [`HostProcess::kill`] does not ask.
pub struct HostProcess {
    pub pid: u32,
    /// Known by a descriptor: the number may be another's when it has been reaped.
    process: OwnedFd,
    /// A socket that keeps message borders and, being connected, has an end. Tokio's type is only its place in the reactor.
    pub control: UnixDatagram,
    /// Comes when it has ended and is reaped.
    pub exit: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl HostProcess {
    /// Starts the program. Must be called in a tokio runtime.
    pub async fn start(config: &HostConfig) -> io::Result<Self> {
        let (ours, theirs) = control::pair()?;
        fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        let control = UnixDatagram::from_std(ours.into())?;
        let mut command = Command::new(&config.program);
        command
            .arg0("dalston")
            .args(&config.args)
            .envs(config.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // A terminal's interrupt is for the server, which ends its host itself.
            .process_group(0);
        let (started, start) = oneshot::channel();
        let (exited, exit) = oneshot::channel();
        // The kernel ends the host when the *thread* that started it ends. A worker thread of a runtime may; this one stays.
        thread::Builder::new().name("engine-host".to_owned()).spawn(move || {
            let spawned = spawn(&mut command);
            // The host's end of the socket must not stay open in here.
            drop(command);
            match spawned {
                Ok((mut child, process)) => {
                    let stderr = child.stderr.take().map(OwnedFd::from);
                    let _abandoned = started.send(Ok((child.id(), process, stderr)));
                    let _abandoned = exited.send(child.wait());
                }
                Err(error) => {
                    let _abandoned = started.send(Err(error));
                }
            }
        })?;
        let (pid, process, stderr) = start.await.map_err(|_| io::Error::other("the starting thread ended"))??;
        if let Some(stderr) = stderr {
            tokio::spawn(log(pipe::Receiver::from_owned_fd(stderr)?, pid));
        }
        Ok(Self { pid, process, control, exit })
    }

    /// Ends it now, stopped or not; its streams follow.
    pub fn kill(&self) {
        // It may be gone already.
        let _gone = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

fn spawn(command: &mut Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Ok((child, process)),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            Err(error.into())
        }
    }
}

/// What native code prints goes into the log, line by line, until all processes that could print are gone.
async fn log(stderr: pipe::Receiver, pid: u32) {
    /// Longer lines are cut into several.
    const LONGEST: u64 = 2000;
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => tracing::warn!(pid, line = %String::from_utf8_lossy(&line).trim_end(), "engine host printed"),
        }
    }
}
