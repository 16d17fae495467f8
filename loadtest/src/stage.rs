//! Where a run takes place: the server, found or started, and what is asked of every session.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use dalston_client::{ApiKey, Endpoint};
use dalston_protocol::realtime::{Endpointing, STREAM_PATH, SessionConfig};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::{
    duration,
    report::Report,
    server::{Memory, ProcessTree, ServerChild, Target, Usage, listener},
};

/// Which server.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Where the server is.
    #[arg(long, global = true, env = "DALSTON_URL", default_value = "ws://127.0.0.1:8000")]
    url: Endpoint,
    /// A key of the server's API.
    #[arg(long, global = true, env = "DALSTON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The server's process, whose CPU and memory are measured with those of its children. Found by the port when the server is
    /// on this machine.
    #[arg(long, global = true)]
    pid: Option<u32>,
    /// Starts the server with this command line, waits until it is ready, and stops it in the end.
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "pid")]
    server: Option<String>,
    /// Keeps what that server prints in this file. Without it, the log is kept only when something went wrong.
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    server_log: Option<PathBuf>,
    /// Lets the load go to another machine. Only to one that is yours.
    #[arg(long, global = true)]
    allow_remote: bool,
}

impl ServerArgs {
    /// Whether a server is started rather than found.
    #[must_use]
    pub const fn starts_one(&self) -> bool {
        self.server.is_some()
    }
}

/// What is asked of every session.
#[derive(Debug, Clone, Args)]
pub struct SessionArgs {
    /// Engine or model id; any that fits unless given.
    #[arg(long, global = true)]
    pub model: Option<String>,
    /// Language of the audio.
    #[arg(long, global = true, default_value = "auto")]
    language: String,
    /// Silence that ends an utterance.
    #[arg(long, global = true, default_value_t = 500, value_name = "MS")]
    endpointing_ms: u32,
    /// How long the server may take to begin a session, and to end it after its last audio.
    #[arg(long, global = true, default_value = "30s", value_parser = duration::parse)]
    pub patience: Duration,
}

impl SessionArgs {
    /// The settings of a session with audio of this rate.
    #[must_use]
    pub fn config(&self, sample_rate: u32) -> SessionConfig {
        let endpointing = Endpointing { endpointing_ms: self.endpointing_ms, ..Endpointing::default() };
        let (model, language) = (self.model.clone(), self.language.clone());
        SessionConfig { model, language, sample_rate, endpointing, ..SessionConfig::default() }
    }

    /// Silence that ends an utterance.
    #[must_use]
    pub fn endpointing(&self) -> Duration {
        Duration::from_millis(self.endpointing_ms.into())
    }
}

/// The server under test, ready.
#[derive(Debug)]
pub struct Stage {
    /// Where it is.
    pub target: Target,
    /// What is asked of every session.
    pub session: SessionArgs,
    /// Its processes, where they can be seen.
    pub tree: Option<ProcessTree>,
    child: Option<ServerChild>,
    log: ServerLog,
}

/// What a server printed that was started here.
#[derive(Debug)]
struct ServerLog {
    file: PathBuf,
    /// Whether it was asked for.
    keep: bool,
}

impl Stage {
    /// From the start of a server to its readiness: a big model takes its time.
    const START: Duration = Duration::from_secs(60);
    /// For a server that runs already.
    const THERE: Duration = Duration::from_secs(2);

    /// Finds the server, or starts it.
    ///
    /// # Errors
    /// When it cannot be found or started, is on another machine, or is not ready in time.
    pub async fn new(args: &ServerArgs, session: &SessionArgs) -> anyhow::Result<Self> {
        let key = args.api_key.clone().map(ApiKey::new);
        let target = Target::new(args.url.clone(), key, args.allow_remote).await?;
        let log = ServerLog::new(args);
        let child = args.server.as_deref().map(|command| ServerChild::start(command, &log.file)).transpose()?;
        let mut stage = Self { target, session: session.clone(), tree: None, child, log };
        stage.wait_ready().await?;
        let port = args.url.socket().1;
        let pid = stage.child.as_ref().map(ServerChild::pid).or(args.pid);
        stage.tree = pid.or_else(|| listener(port)).map(ProcessTree::of).transpose()?;
        Ok(stage)
    }

    async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return self.target.ready(Self::THERE).await };
        let ready = tokio::select! {
            ready = self.target.ready(Self::START) => ready,
            ended = child.wait() => Err(anyhow::anyhow!("the server ended before it was ready: {}", ended?)),
        };
        ready.with_context(|| format!("the server said:\n{}", self.log.tail()))
    }

    /// What the server uses now; `None` when it cannot be seen.
    pub async fn usage(&self) -> Option<Usage> {
        let tree = self.tree?;
        blocking(move || tree.usage().ok()).await
    }

    /// What the server holds now; `None` when it cannot be seen.
    pub async fn memory(&self) -> Option<Memory> {
        let tree = self.tree?;
        blocking(move || tree.memory().ok()).await
    }

    /// What the server holds once its sockets are closed, which takes it a moment after the sessions' end; as it is after
    /// `within` if they never are.
    pub async fn settled(&self, before: Option<Memory>, within: Duration) -> Option<Memory> {
        let (before, deadline) = (before?, Instant::now() + within);
        loop {
            let memory = self.memory().await?;
            if memory.leaked_since(&before) == 0 || Instant::now() >= deadline {
                return Some(memory);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The request that opens a session for a flood: everything is speech, and nothing is told before the end.
    ///
    /// # Errors
    /// When the key or the model cannot be sent.
    pub fn flood_request(&self) -> anyhow::Result<http::Request<()>> {
        let (endpoint, session) = (self.target.endpoint(), &self.session);
        let model = session.model.as_deref().map_or(String::new(), |model| format!("&model={model}"));
        let query = format!("enable_vad=false&interim_results=false&language={}{model}", session.language);
        let url = format!("ws://{}{}?{query}", endpoint.authority(), endpoint.path(STREAM_PATH));
        let mut request = url.into_client_request()?;
        if let Some(key) = self.target.api_key() {
            request.headers_mut().insert(http::header::AUTHORIZATION, key.bearer()?);
        }
        Ok(request)
    }

    /// Runs a command on this stage and stops the server, if it was started here.
    ///
    /// # Errors
    /// Those of the command; a server that does not stop as it should is a check that did not hold.
    pub async fn run<F>(mut self, command: impl FnOnce(Arc<Self>) -> F) -> anyhow::Result<Report>
    where
        F: Future<Output = anyhow::Result<Report>>,
    {
        let child = self.child.take();
        let stage = Arc::new(self);
        let mut report = command(Arc::clone(&stage)).await?;
        if stage.tree.is_none() {
            report.notes.push(
                "the server's process was not found, so its CPU and memory are not measured; --pid names it".into(),
            );
        }
        if let Some(child) = child {
            let status = child.stop().await.context("the server was to stop")?;
            report.check("the server stopped with status 0 when asked", status.success(), || status.to_string());
            if report.ok() && !stage.log.keep {
                stage.log.remove();
            } else {
                report.notes.push(format!("what the server printed is in {}", stage.log.file.display()));
            }
        }
        Ok(report)
    }
}

impl ServerLog {
    /// Lines that are shown of the log of a server that did not start.
    const TAIL: usize = 20;

    fn new(args: &ServerArgs) -> Self {
        let name = format!("dalston-loadtest-server-{}.log", std::process::id());
        let unasked = || std::env::temp_dir().join(name);
        Self { file: args.server_log.clone().unwrap_or_else(unasked), keep: args.server_log.is_some() }
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(Self::TAIL)..].join("\n")
    }

    fn remove(&self) {
        // Left behind it does no harm.
        let _ = fs::remove_file(&self.file);
    }
}

/// `/proc` is read by another thread, so that no session waits for it.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(read).await.ok().flatten()
}
