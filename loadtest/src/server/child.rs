//! A server started by the load test itself, and stopped by it.

use std::{
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A running server. Killed if it is dropped.
#[derive(Debug)]
pub struct ServerChild {
    child: Child,
    pid: u32,
}

impl ServerChild {
    /// From the signal until it must be gone: more than its own time for draining.
    const STOP: Duration = Duration::from_secs(40);

    /// Starts a command line, read by a shell, which becomes the server. What it prints goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started, or the file not be made.
    pub fn start(command: &str, log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{command}` cannot be started"))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid })
    }

    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When the kernel does not say how.
    pub async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Asks it to stop and waits for it.
    ///
    /// # Errors
    /// When it does not stop in time; then it is killed.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("it has no process id")?;
        kill_process(pid, Signal::TERM)?;
        match timeout(Self::STOP, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.child.kill().await?;
                bail!("it had not stopped {:?} after SIGTERM and was killed", Self::STOP)
            }
        }
    }
}
