//! A whole cluster on this machine: a real Redis, PostgreSQL and S3 server, and every part as a process of its own.

use std::{path::Path, sync::Arc};

use dalston_redis::testing::{Launch, RedisServer};
use dalston_store::testing::{Postgres, S3Server};

use crate::{Server, server::Builder};

/// What gateways and workers prove to each other.
const SECRET: &str = "a-secret-that-only-tests-know";
/// What the hashes of API keys are keyed with.
const SERVER_SECRET: &str = "another-secret-that-only-tests-know-of";

/// How many of each there are to be, and with what.
#[derive(Debug, Clone)]
pub struct Plan {
    gateways: usize,
    realtime: usize,
    orchestrators: usize,
    engines: usize,
    recogniser: &'static str,
    variables: Vec<(String, String)>,
    expected: Vec<&'static str>,
}

/// A running cluster. Processes are ended first, then what they share.
pub struct Cluster {
    /// Where clients connect.
    pub gateways: Vec<Server>,
    /// Live sessions.
    pub realtime: Vec<Server>,
    /// Jobs, seen through.
    pub orchestrators: Vec<Server>,
    /// The stages of jobs.
    pub engines: Vec<Server>,
    /// Queues, workers and their slots.
    pub redis: RedisServer,
    /// Jobs and keys.
    pub postgres: Postgres,
    /// Files.
    pub files: S3Server,
    /// How one more process is started.
    pub blueprint: Blueprint,
    /// Where files are, for as long as somebody holds it.
    pub folder: Arc<tempfile::TempDir>,
}

/// What every process of a cluster is started with.
#[derive(Debug, Clone)]
pub struct Blueprint {
    recogniser: &'static str,
    variables: Vec<(String, String)>,
    expected: Vec<&'static str>,
}

impl Plan {
    /// One of each, with the loopback engine.
    pub fn loopback() -> Self {
        Self {
            gateways: 1,
            realtime: 1,
            orchestrators: 1,
            engines: 1,
            recogniser: "loopback",
            variables: Vec::new(),
            expected: Vec::new(),
        }
    }

    /// With another engine.
    #[must_use]
    pub fn recogniser(self, recogniser: &'static str) -> Self {
        Self { recogniser, ..self }
    }

    /// With so many gateways.
    #[must_use]
    pub fn gateways(self, gateways: usize) -> Self {
        Self { gateways, ..self }
    }

    /// With so many realtime workers.
    #[must_use]
    pub fn realtime(self, realtime: usize) -> Self {
        Self { realtime, ..self }
    }

    /// With so many orchestrators, and as many engine processes.
    #[must_use]
    pub fn for_jobs(self, orchestrators: usize, engines: usize) -> Self {
        Self { orchestrators, engines, ..self }
    }

    /// An environment variable for all of them.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// All send their spans to this collector.
    #[must_use]
    pub fn traced_to(self, endpoint: &str) -> Self {
        self.env("OTEL_ENABLED", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    }

    /// Warnings and errors in the logs that have this in them are part of the test.
    #[must_use]
    pub fn expect(mut self, part_of_line: &'static str) -> Self {
        self.expected.push(part_of_line);
        self
    }

    fn blueprint(&self, redis_url: String, database: &str, files: &S3Server) -> Blueprint {
        let own = [
            ("REDIS_URL", redis_url),
            ("DATABASE_URL", database.to_owned()),
            ("DALSTON_ARTIFACTS_URL", files.url("all")),
            ("DALSTON_CLUSTER_SECRET", SECRET.to_owned()),
            ("DALSTON_SERVER_SECRET", SERVER_SECRET.to_owned()),
            ("DALSTON_REALTIME_BIND", "127.0.0.1:0".to_owned()),
        ];
        let variables = own.into_iter().chain(files.variables()).map(|(name, value)| (name.to_owned(), value));
        Blueprint {
            recogniser: self.recogniser,
            variables: variables.chain(self.variables.iter().cloned()).collect(),
            expected: self.expected.clone(),
        }
    }

    /// Starts it all, and waits until every part is ready.
    pub async fn start(self) -> Cluster {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let redis = Launch::default().append_only().start();
        let postgres = Postgres::begin();
        let database = postgres.new_database().await;
        let files = S3Server::start(folder.path()).expect("the S3 server starts");
        let redis_url = redis.url();
        let mut cluster = Cluster {
            gateways: Vec::new(),
            realtime: Vec::new(),
            orchestrators: Vec::new(),
            engines: Vec::new(),
            redis,
            postgres,
            blueprint: self.blueprint(redis_url, &database, &files),
            files,
            folder,
        };
        // Side by side, as a machine that boots starts them.
        let roles = [
            ("orchestrator", self.orchestrators),
            ("engine", self.engines),
            ("realtime", self.realtime),
            ("gateway", self.gateways),
        ];
        let mut started = Vec::new();
        for (role, count) in roles {
            for _ in 0..count {
                let process = cluster.process(role);
                started.push((role, tokio::task::spawn_blocking(move || process.start())));
            }
        }
        for (role, process) in started {
            let process = process.await.expect("the process starts");
            cluster.of(role).push(process);
        }
        if self.engines > 0 {
            for gateway in &cluster.gateways {
                let engines = || gateway.get("/v1/engines").json()["batch"].as_array().map_or(0, Vec::len);
                gateway.until("engines have told of themselves", || engines() > 0);
            }
        }
        cluster
    }
}

impl Blueprint {
    /// A process of this role, not started yet.
    pub fn process(&self, role: &str) -> Builder {
        let mut process = Server::with_engine(self.recogniser).arg("--role").arg(role);
        for (name, value) in &self.variables {
            process = process.env(name, value);
        }
        self.expected.iter().fold(process, |process, part| process.expect(part))
    }
}

impl Cluster {
    /// One more process of this role, not started yet.
    pub fn process(&self, role: &str) -> Builder {
        self.blueprint.process(role)
    }

    /// The first gateway.
    pub fn gateway(&self) -> &Server {
        &self.gateways[0]
    }

    /// Where files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn of(&mut self, role: &str) -> &mut Vec<Server> {
        match role {
            "gateway" => &mut self.gateways,
            "realtime" => &mut self.realtime,
            "orchestrator" => &mut self.orchestrators,
            "engine" => &mut self.engines,
            other => panic!("{other} is no role"),
        }
    }

    /// All processes, in the order in which they are stopped.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Server> {
        self.gateways.iter_mut().chain(&mut self.realtime).chain(&mut self.orchestrators).chain(&mut self.engines)
    }
}
