//! What a server of several processes is told: which part each of them is, and what they share.

use std::{fmt, marker::PhantomData};

use dalston_engine_sdk::batch::Stage;
use dalston_session_router::link::ClusterSecret;

use super::{
    layers::Layers,
    problem::Problem,
    settings::Settings,
    table,
    value::{Named, Value},
};

/// A part of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// HTTP and WebSocket at the edge.
    Gateway,
    /// Jobs: planned, watched, assembled.
    Orchestrator,
    /// The stages of jobs.
    Engine,
    /// Live sessions.
    Realtime,
}

impl Named for Role {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("gateway", Self::Gateway),
        ("orchestrator", Self::Orchestrator),
        ("engine", Self::Engine),
        ("realtime", Self::Realtime),
    ];
}

/// The parts that a process is. At least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

const ALL: &str = "all";

impl Roles {
    /// Whether the process is this part.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether it is the whole server.
    pub fn is_all(&self) -> bool {
        Role::NAMES.iter().all(|(_, role)| self.has(*role))
    }

    /// Whether jobs are read or worked on here. A realtime worker by itself knows of none.
    pub fn has_jobs(&self) -> bool {
        self.0.iter().any(|role| *role != Role::Realtime)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str(ALL);
        }
        let names = Role::NAMES.iter().filter(|(_, role)| self.has(*role)).map(|(name, _)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for Roles {
    fn expected() -> String {
        let names: Vec<&str> = Role::NAMES.iter().map(|(name, _)| *name).collect();
        format!("{ALL}, or one or more of {}, parted by commas", names.join(", "))
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == ALL {
            return Some(Self(Role::NAMES.iter().map(|(_, role)| *role).collect()));
        }
        let named = |name: &str| Role::NAMES.iter().find(|(known, _)| *known == name.trim()).map(|(_, role)| *role);
        text.split(',').map(named).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// A URL that may hold a password, with one of the schemes of `S`. Never printed.
pub struct SecretUrl<S> {
    url: String,
    schemes: PhantomData<S>,
}

/// Where Redis is.
pub type RedisUrl = SecretUrl<Redis>;
/// Where PostgreSQL is.
pub type DatabaseUrl = SecretUrl<Postgres>;

/// Which schemes a URL may have.
pub trait Schemes {
    /// Without `://`.
    const ALLOWED: &'static [&'static str];
}

/// Those of Redis.
pub enum Redis {}

/// Those of PostgreSQL.
pub enum Postgres {}

impl Schemes for Redis {
    const ALLOWED: &'static [&'static str] =
        &["redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];
}

impl Schemes for Postgres {
    const ALLOWED: &'static [&'static str] = &["postgres", "postgresql"];
}

impl<S> SecretUrl<S> {
    /// The URL, for whoever connects.
    pub fn expose(&self) -> &str {
        &self.url
    }
}

impl<S> Clone for SecretUrl<S> {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), schemes: PhantomData }
    }
}

impl<S> fmt::Debug for SecretUrl<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretUrl(…)")
    }
}

impl<S: Schemes> Value for SecretUrl<S> {
    fn expected() -> String {
        format!("a URL that begins with {}://", S::ALLOWED.join("://, "))
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_one = S::ALLOWED.contains(&scheme) && !rest.is_empty();
        is_one.then(|| Self { url: text.to_owned(), schemes: PhantomData })
    }

    fn is_secret() -> bool {
        true
    }
}

impl Value for ClusterSecret {
    fn expected() -> String {
        "16 to 256 printable ASCII characters without spaces".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }

    fn is_secret() -> bool {
        true
    }
}

/// The address at which gateways reach a realtime worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerUrl(pub String);

impl Value for WorkerUrl {
    fn expected() -> String {
        "ws://HOST:PORT".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.strip_prefix("ws://")?.trim_end_matches('/').rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| Self(text.to_owned()))
    }
}

impl Value for Stage {
    fn expected() -> String {
        "the name of a stage, such as prepare, transcribe, align or diarize".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let known = [Self::PREPARE, Self::TRANSCRIBE, Self::ALIGN, Self::DIARIZE];
        known.into_iter().find(|stage| stage.as_str() == text)
    }
}

impl Settings {
    /// Whether speech is recognised here, or words are aligned: what needs an engine.
    pub fn needs_recognisers(&self) -> bool {
        let does = |stage: Stage| self.stages.is_empty() || self.stages.contains(&stage);
        let for_jobs = self.role.has(Role::Engine) && (does(Stage::TRANSCRIBE) || does(Stage::ALIGN));
        self.role.has(Role::Realtime) || for_jobs
    }

    /// What is missing, or left over, for the parts that this process is.
    pub(super) fn cluster_problems(&self, layers: &Layers, unread: &[Problem]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut needs = |is_there: bool, key: &str, why: &str| {
            if !is_there && !unread.iter().any(|problem| problem.is_unread(key)) {
                let variable = table::find(key).map_or("", |setting| setting.variable);
                let message = format!("is needed for {}: {why}", layers.place_of("role"));
                problems.push(Problem::new(format!("{key} ({variable})"), message));
            }
        };
        if self.role.is_all() && self.redis.is_none() {
            return problems;
        }
        needs(self.redis.is_some(), "redis.url", "processes meet there");
        needs(!self.role.has_jobs() || self.database.is_some(), "database.url", "all processes work on the same jobs");
        needs(
            self.artifacts.is_some(),
            "artifacts.url",
            "all processes reach the same files: s3://bucket/prefix, or on one machine a folder",
        );
        needs(
            !(self.role.has(Role::Gateway) || self.role.has(Role::Realtime)) || self.cluster_secret.is_some(),
            "cluster.secret",
            "gateways prove with it that they may open sessions at realtime workers; `openssl rand -hex 32` makes one",
        );
        problems
    }
}
