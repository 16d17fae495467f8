//! A PostgreSQL server of one's own: in a temporary folder, reached by a unix socket there, so no port is taken.
//!
//! One server serves all tests that run at the same time; whoever drops it last ends it, by its process id and whether or
//! not a test has failed. Should this process itself be killed, the system ends the server.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

const PACKAGE: &str = "PostgreSQL is not installed: these tests need the Debian package `postgresql`";
/// Whom Debian's package makes for the server, which refuses to run as root.
const SERVER_USER: &str = "postgres";

/// A running server. Dropped, it is ended at once.
#[derive(Debug)]
pub struct Postgres {
    /// Nothing while it is down.
    server: Option<Child>,
    folder: TempDir,
    databases: AtomicU32,
}

static RUNNING: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The server that runs, or a new one.
    pub fn shared() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::begin());
            *running = Arc::downgrade(&server);
            server
        })
    }

    /// A server of its own, for whoever wants to stop it.
    pub fn begin() -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        let as_user = User::unprivileged();
        if let User::Other { uid, gid } = as_user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = as_user.command(&programs.join("initdb"));
        initdb
            .args(["--auth=trust", "--username=dalston", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data);
        let made = initdb.current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let mut server = Self { server: None, folder, databases: AtomicU32::default() };
        server.start();
        server
    }

    /// Starts it again on what it has.
    pub fn start(&mut self) {
        let mut server = User::unprivileged().command(&programs().join("postgres"));
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-k"]);
        server.arg(self.folder.path()).arg("-D").arg(self.folder.path().join("data")).current_dir(self.folder.path());
        self.server = Some(begin_server(server));
    }

    /// Ends it at once, as a crash does. What it has committed is kept.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // The child was not waited for, so the id is still its own.
        let id = Pid::from_child(&server);
        let ended = kill_process(id, Signal::QUIT).map_err(std::io::Error::from).and_then(|()| server.wait());
        if let Err(error) = ended {
            eprintln!("PostgreSQL, process {id:?}, could not be ended: {error}");
        }
    }

    /// The URL of a database that nobody else uses.
    pub async fn new_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://dalston@localhost/{database}?host={}", self.folder.path().display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns when the server takes connections.
fn begin_server(mut command: Command) -> Child {
    let (sender, receiver) = mpsc::sync_channel(1);
    // The system ends the server with the *thread* that began it. This one lives as long as the server's messages come.
    thread::spawn(move || {
        let mut server = command.stderr(Stdio::piped()).stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        let mut messages = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let is_ready = messages.any(|line| {
            let is_ready = line.contains("ready to accept connections");
            seen.push(line);
            is_ready
        });
        if !is_ready {
            let _ = server.wait();
            panic!("PostgreSQL did not start: {seen:#?}");
        }
        sender.send(server).unwrap();
        // A pipe that nobody reads would hold up the server when it is full.
        messages.for_each(drop);
    });
    receiver.recv().expect("PostgreSQL did not start; its messages stand above")
}

/// The folder of the newest version's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect(PACKAGE).filter_map(|entry| Some(entry.ok()?.path()));
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    newest.expect(PACKAGE).join("bin")
}

/// Who runs the server.
#[derive(Clone, Copy)]
enum User {
    Same,
    Other { uid: u32, gid: u32 },
}

impl User {
    fn unprivileged() -> Self {
        if !geteuid().is_root() {
            return Self::Same;
        }
        // The user's home is the package's, and by its owner the ids are known without a parser of /etc/passwd.
        let home = fs::metadata(Path::new("/var/lib").join("postgresql")).expect(PACKAGE);
        assert!(home.uid() != 0, "/var/lib/postgresql does not belong to {SERVER_USER}");
        Self::Other { uid: home.uid(), gid: home.gid() }
    }

    fn command(self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Self::Other { uid, gid } = self {
            command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
        }
        command.arg("--").arg(program);
        command
    }
}
