//! A server for as long as one command takes: this program once more, as a child with a folder of its own.

use std::{env, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use dalston_client::Endpoint;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Tells the child whose child it is.
const PARENT: &str = "_DALSTON_EMBEDDED_BY";
/// Until it listens: a model is loaded.
const START: Duration = Duration::from_secs(60);
/// Until it has ended; nothing is open any more when it is told to.
const END: Duration = Duration::from_secs(10);

/// A running server, ended with its owner at the latest.
#[derive(Debug)]
pub(super) struct Embedded {
    pub(super) endpoint: Endpoint,
    child: Child,
    /// Removed after the server.
    _folder: TempDir,
}

impl Embedded {
    pub(super) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for temporary files")?;
        let mut child = command(folder.path())?.spawn().context("cannot run this program again")?;
        let mut book = BufReader::new(child.stdout.take().context("the server has no output")?);
        let endpoint = async {
            let mut line = String::new();
            while book.read_line(&mut line).await? > 0 {
                if let Some(url) = line.trim().strip_prefix("http ") {
                    return Ok(Some(url.trim().parse::<Endpoint>()?));
                }
                line.clear();
            }
            anyhow::Ok(None)
        };
        let started = timeout(START, endpoint).await.with_context(|| format!("it did not start within {START:?}"))?;
        let Some(endpoint) = started? else { bail!("it ended at once: {}", last_words(&mut child).await) };
        // Read on, so that it never waits for someone to do so. It ends with the server.
        tokio::spawn(async move { tokio::io::copy(&mut book, &mut tokio::io::sink()).await });
        if let Some(mut log) = child.stderr.take() {
            tokio::spawn(async move { tokio::io::copy(&mut log, &mut tokio::io::sink()).await });
        }
        Ok(Self { endpoint, child, _folder: folder })
    }

    /// Lets it end in order.
    pub(super) async fn end(mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
            kill_process(pid, Signal::TERM).context("cannot end the server")?;
        }
        if timeout(END, self.child.wait()).await.is_err() {
            self.child.kill().await.context("cannot end the server")?;
        }
        Ok(())
    }
}

fn command(folder: &Path) -> Result<Command> {
    let program = env::current_exe().context("this program does not know where it is")?;
    let mut command = Command::new(program);
    command
        .args(["serve", "--bind", "127.0.0.1:0", "--data-dir"])
        .arg(folder)
        // Its log is read only if it does not start.
        .env("LOG_FORMAT", "text")
        .env(PARENT, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-c at the terminal is for the owner, who ends it when the jobs are cancelled.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

async fn last_words(child: &mut Child) -> String {
    const MOST: u64 = 64 * 1024;
    let mut log = String::new();
    if let Some(stderr) = child.stderr.take() {
        // What cannot be read cannot be told.
        let _ = stderr.take(MOST).read_to_string(&mut log).await;
    }
    log.trim().to_owned()
}

/// In the child: ends with the parent, also when that is killed and can end nothing itself. Called before anything else.
pub fn end_with_parent_if_asked() -> Result<()> {
    let Some(parent) = env::var_os(PARENT) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be ended with the parent")?;
    let now = getppid().map(|parent| parent.as_raw_nonzero().get().to_string());
    if now.as_deref() != parent.to_str() {
        bail!("the command that wanted this server is gone");
    }
    Ok(())
}
