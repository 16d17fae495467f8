//! A real redis-server of one's own.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    arguments: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    Server,
    Cluster,
    /// With the text of its file: it wants to write into one.
    Sentinel(String),
}

/// What Sentinels call the primary that they watch.
const SERVICE: &str = "dalston";

impl Launch {
    /// Keeps what it has acknowledged over a restart.
    #[must_use]
    pub fn append_only(self) -> Self {
        self.with(&["--appendonly", "yes", "--appendfsync", "everysec"])
    }

    /// Refuses to hold more than this.
    #[must_use]
    pub fn max_memory(self, size: &str) -> Self {
        self.with(&["--maxmemory", size, "--maxmemory-policy", "noeviction"])
    }

    /// A cluster of this one node, which has all slots.
    #[must_use]
    pub fn cluster(self) -> Self {
        Self { kind: Kind::Cluster, ..self.with(&["--cluster-enabled", "yes"]) }
    }

    /// Follows `primary`.
    #[must_use]
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        self.with(&["--replicaof", "127.0.0.1", &primary.port.to_string()])
    }

    /// A Sentinel instead of a server: alone it finds `primary` dead within half a second, and puts a replica in its
    /// place.
    #[must_use]
    pub fn sentinel_of(self, primary: &RedisServer) -> Self {
        let port = primary.port;
        let file = format!(
            "sentinel monitor {SERVICE} 127.0.0.1 {port} 1\nsentinel down-after-milliseconds {SERVICE} 500\n\
             sentinel failover-timeout {SERVICE} 3000\n"
        );
        Self { kind: Kind::Sentinel(file), ..self }
    }

    /// Any other arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Starts it on a free port of the loopback address, with a folder of its own.
    ///
    /// # Panics
    /// When no redis-server is installed, or it does not start.
    pub fn start(self) -> RedisServer {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let (port, child) = (0..20)
            .find_map(|_| {
                let port = free_port();
                spawn(&self, &folder, port).map(|child| (port, child))
            })
            .expect("redis-server starts on a free port");
        let server = RedisServer { launch: self, folder, port, child: Some(child) };
        if matches!(server.launch.kind, Kind::Cluster) {
            server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
            while !server.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
                // The node tells nobody when it has noticed.
                thread::sleep(Duration::from_millis(5));
            }
        }
        server
    }
}

/// A redis-server that ends with its handle.
#[derive(Debug)]
pub struct RedisServer {
    launch: Launch,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// One that forgets everything when it ends.
    ///
    /// # Panics
    /// As [`Launch::start`].
    pub fn start() -> Self {
        Launch::default().start()
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let host = format!("127.0.0.1:{}", self.port);
        match self.launch.kind {
            Kind::Server => format!("redis://{host}"),
            Kind::Cluster => format!("redis+cluster://{host}"),
            Kind::Sentinel(_) => format!("redis+sentinel://{host}/{SERVICE}"),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What redis-cli answers: a second way to look, which shares nothing with what is tested.
    ///
    /// # Panics
    /// When there is no redis-cli.
    pub fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again where it was, killing it first.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.child = Some(spawn(&self.launch, &self.folder, self.port).expect("its port is still free"));
    }

    /// Stands still until [`RedisServer::cont`]: connections stay, and nothing is answered.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on after [`RedisServer::stop`].
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            kill_process(Pid::from_child(child), signal).expect("the child is ours");
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `None` when it ends instead of starting: somebody else was quicker to take the port.
fn spawn(launch: &Launch, folder: &TempDir, port: u16) -> Option<Child> {
    let file = folder.path().join("sentinel.conf");
    let mut command = Command::new("redis-server");
    match &launch.kind {
        Kind::Sentinel(text) => {
            std::fs::write(&file, text).expect("there is room for a file");
            command.arg(&file).arg("--sentinel");
        }
        Kind::Server | Kind::Cluster => {
            command.args(["--save", "", "--cluster-port", &(port + BUS).to_string()]);
        }
    }
    let mut child = command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder.path())
        .args(&launch.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (started, has_started) = mpsc::channel();
    // To its end: a full pipe would stop the server.
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if line.contains("Ready to accept connections") || line.contains("+monitor master") {
                let _ = started.send(());
            }
        }
    });
    // The sender is dropped when the server ends.
    match has_started.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => Some(child),
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            None
        }
    }
}

/// From the port of clients to that of the cluster's nodes.
const BUS: u16 = 10_000;

/// Below the range that the system gives to outgoing connections, so that a restarted server finds its port free.
fn free_port() -> u16 {
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 9_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes begin at different places.
    let start = (std::process::id() * 61) as u16;
    loop {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if is_free(port) && is_free(port + BUS) {
            return port;
        }
    }
}
