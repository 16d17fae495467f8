//! The real binary as a child process, on a port of its own, with a data folder of its own.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc::Receiver},
    time::{Duration, Instant},
};

use dalston_client::{Endpoint, StreamClient};
use dalston_protocol::realtime::SessionConfig;

use crate::{
    http::{self, Answer},
    log::Log,
};

/// How long a server may take to print where it listens, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server to be started.
pub struct Builder {
    command: Command,
    data_dir: DataDir,
    expected: Vec<&'static str>,
}

/// A running server. Dropping it ends it, and fails the test if its log has a warning or an error that was not expected.
pub struct Server {
    child: Child,
    address: String,
    log: Arc<Mutex<Log>>,
    expected: Vec<&'static str>,
    readers: Vec<std::thread::JoinHandle<()>>,
    data_dir: DataDir,
}

/// What outlives a server, for as long as somebody holds it.
pub type DataDir = Arc<tempfile::TempDir>;

/// The binary that this test run has built.
pub fn binary() -> PathBuf {
    // …/target/<profile>/deps/<test> → …/target/<profile>/dalston
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps");
    let binary = folder.join("dalston");
    assert!(binary.exists(), "{} is not built; run `cargo build -p dalston` first", binary.display());
    binary
}

impl Server {
    /// A server with the loopback engine that listens on a free port.
    pub fn loopback() -> Builder {
        Self::with_engine("loopback")
    }

    /// A server with this engine that listens on a free port.
    pub fn with_engine(engine: &str) -> Builder {
        let data_dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let mut command = Command::new(binary());
        command.args(["serve", "--bind", "127.0.0.1:0", "--engine", engine]);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LOG_FORMAT", "json");
        Builder { command, data_dir, expected: Vec::new() }
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it keeps things.
    pub fn folder(&self) -> &Path {
        self.data_dir.path()
    }

    /// A client of its native API.
    pub fn client(&self, config: SessionConfig) -> StreamClient {
        let endpoint: Endpoint = format!("http://{}", self.address).parse().expect("an address is an endpoint");
        StreamClient::new(endpoint).config(config)
    }

    /// Its log so far.
    pub fn log(&self) -> Log {
        self.log.lock().expect("no reader panics").clone()
    }

    /// Waits for a line in its log.
    pub fn logs(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(part) {
            assert!(Instant::now() < deadline, "no line with {part:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// `GET path`, without a library between us and the wire.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    /// A request with further header lines, each with its `\r\n`.
    pub fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.try_request(method, path, headers).expect("the server answers")
    }

    /// As [`Server::request`], for a server that may be gone.
    pub fn try_request(&self, method: &str, path: &str, headers: &str) -> std::io::Result<Answer> {
        self.send(method, path, headers, &[])
    }

    /// As [`Server::try_request`], with a body.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> std::io::Result<Answer> {
        http::exchange(&self.address, method, path, headers, body)
    }

    /// The value of a metric without labels, or with exactly these, as it stands in `/metrics`.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let metrics = self.get("/metrics").body;
        metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Sends a signal, by name as `kill` knows it.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                // To the last line.
                for reader in self.readers.drain(..) {
                    reader.join().expect("a reader does not panic");
                }
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `kill -9`, and its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.wait();
    }

    /// SIGTERM, and its end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }
}

impl Builder {
    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// A data folder that a server before it has left.
    #[must_use]
    pub fn in_folder(mut self, data_dir: &DataDir) -> Self {
        self.data_dir = data_dir.clone();
        self
    }

    /// A command-line argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sends spans to this collector.
    #[must_use]
    pub fn traced_to(self, endpoint: &str) -> Self {
        self.env("OTEL_ENABLED", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    }

    /// A warning or error in the log that has this in it is part of the test.
    #[must_use]
    pub fn expect(mut self, part_of_line: &'static str) -> Self {
        self.expected.push(part_of_line);
        self
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Server {
        self.try_start().unwrap_or_else(|log| panic!("the server did not say where it listens; its log:\n{log}"))
    }

    /// As [`Builder::start`], for one that may find that it cannot start. Gives its log then.
    ///
    /// # Errors
    /// It has ended, or said nothing for a minute.
    pub fn try_start(self) -> Result<Server, Log> {
        let (mut server, address) = self.launch();
        match address.recv_timeout(PATIENCE) {
            Ok(address) => server.address = address,
            Err(_) => return Err(server.log()),
        }
        Ok(server)
    }

    /// Starts it and does not wait. It has no address yet.
    pub fn spawn(self) -> Server {
        self.launch().0
    }

    /// The server, and where it will say where it listens.
    fn launch(mut self) -> (Server, Receiver<String>) {
        self.command.arg("--data-dir").arg(self.data_dir.path());
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(Log::default()));
        let (found, address) = std::sync::mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let reads_stdout = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(address) = address_in(&line) {
                    // Only the first is waited for.
                    let _ = found.send(address);
                }
            }
        });
        let reads_stderr = {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in stderr.lines().map_while(Result::ok) {
                    log.lock().expect("no reader panics").push(line);
                }
            })
        };
        let readers = vec![reads_stdout, reads_stderr];
        let (expected, data_dir) = (self.expected, self.data_dir);
        let server = Server { child, address: String::new(), log, expected, readers, data_dir };
        (server, address)
    }
}

/// The first `http://host:port` of a line of the address book.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("http://")?;
    let address: String = rest.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
    address.starts_with("127.0.0.1:").then_some(address)
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // It has had its time.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if !std::thread::panicking() {
            let unexpected = self.log().unexpected(&self.expected);
            assert!(unexpected.is_empty(), "warnings or errors that no test expected:\n{}", unexpected.join("\n"));
        }
    }
}
