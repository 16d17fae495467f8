//! What the parts of a server share, in one process or across many.

use std::sync::Arc;

use anyhow::{Context, Result};
use dalston_broker::{Broker, InProcessBroker, RedisBroker};
use dalston_egress::Client;
use dalston_redis::{Redis, RedisError, Settings as RedisSettings};
use dalston_session_router::{
    InProcessRegistry, Links, RedisRegistry, RedisResumeStore, Registry, RegistryTimes, ResumeStore, RouterSettings,
    SessionRouter,
    link::{ClusterSecret, Liveness},
};
use dalston_store::{Artifacts, JobStore, Shelf};
use dalston_telemetry::{Metrics, tracers};
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, ConfigError, Problem};

/// What all keys in Redis begin with.
const PREFIX: &str = "dalston";
/// Messages in Redis, of all queues. Beyond it the store still has them, and the relay tries again.
const MAX_MESSAGES: usize = 1_000_000;

/// Opened before an address is taken, so that what is wrong with it is known by then.
pub struct Site {
    /// Jobs, and what they are made of, where this process has to do with jobs.
    pub jobs: Option<Kept>,
    /// Workers and their slots.
    pub registry: Arc<dyn Registry>,
    /// Sessions whose clients may come back, where several gateways share them.
    pub resume: Option<Arc<dyn ResumeStore>>,
    /// Fetches what `audio_url` names, and tells webhooks.
    pub client: Client,
    /// Nobody else has the jobs, the workers or the folders.
    pub is_alone: bool,
    /// What workers of other processes are reached with, where there are any.
    secret: Option<ClusterSecret>,
    _noticing: AbortOnDropHandle<()>,
}

/// Jobs as they are kept and carried.
#[derive(Clone)]
pub struct Kept {
    /// The truth about them.
    pub store: JobStore,
    /// What they are made of.
    pub artifacts: Artifacts,
    /// Carries the news.
    pub broker: Arc<dyn Broker>,
}

impl Site {
    /// Opens what this process needs of it.
    ///
    /// # Errors
    /// What cannot be used, by the setting that names it.
    pub async fn open(config: &Config) -> Result<Self> {
        let settings = &config.settings;
        let is_alone = settings.redis.is_none() && settings.database.is_none();
        let jobs = if settings.role.has_jobs() { Some(Kept::open(config, is_alone).await?) } else { None };
        let client = Client::new(settings.egress(), tracers().clone())
            .map_err(|error| Problem::new(config.layers.place_of("egress.ca_file"), error.to_string()))
            .map_err(|problem| ConfigError(vec![problem]))?;
        let (registry, noticing): (Arc<dyn Registry>, _) = match &settings.redis {
            Some(url) => {
                let (times, tracers) = (RegistryTimes::default(), tracers().clone());
                let registry = RedisRegistry::open(url.expose(), PREFIX, times, tracers);
                let registry = Arc::new(registry.map_err(|error| unusable_redis(config, &error))?);
                (registry.clone(), tokio::spawn(registry.notice_standstills()))
            }
            None => {
                let registry = Arc::new(InProcessRegistry::new(RegistryTimes::default()));
                (registry.clone(), tokio::spawn(registry.notice_standstills()))
            }
        };
        let resume = match &settings.redis {
            Some(url) => {
                let store = RedisResumeStore::open(url.expose(), PREFIX, tracers().clone());
                Some(Arc::new(store.map_err(|error| unusable_redis(config, &error))?) as Arc<dyn ResumeStore>)
            }
            None => None,
        };
        let secret = settings.cluster_secret.clone().filter(|_| settings.redis.is_some());
        Ok(Self { jobs, registry, resume, client, is_alone, secret, _noticing: AbortOnDropHandle::new(noticing) })
    }

    /// Finds workers for the sessions of this process's gateway.
    pub fn router(&self, metrics: &Arc<Metrics>) -> Arc<SessionRouter> {
        let (settings, tracers) = (RouterSettings::default(), tracers().clone());
        let router = SessionRouter::new(self.registry.clone(), settings, tracers, metrics.clone());
        Arc::new(match self.secret.clone() {
            Some(secret) => router.with_links(Links::new().across_machines(secret, Liveness::default())),
            None => router,
        })
    }
}

impl Kept {
    async fn open(config: &Config, is_alone: bool) -> Result<Self> {
        let store = match &config.settings.database {
            Some(url) => JobStore::open(url.expose()).await.with_context(|| {
                format!("cannot keep jobs in the database of {}", config.layers.place_of("database.url"))
            })?,
            None => {
                let file = config.data_dir.join("jobs.db");
                let store = JobStore::open(&format!("sqlite:{}", file.display())).await;
                store.with_context(|| format!("cannot keep jobs in {}", file.display()))?
            }
        };
        let artifacts = match &config.settings.artifacts {
            Some(location) => Artifacts::at(location).await.with_context(|| unusable_files(config))?,
            None => {
                let folder = config.data_dir.join("artifacts");
                // Alone, the archive has locked the data folder: no other server writes there.
                let opened = if is_alone { Artifacts::local_alone(&folder) } else { Artifacts::local(&folder) };
                opened.with_context(|| format!("cannot keep files in {}", folder.display()))?
            }
        };
        let broker: Arc<dyn Broker> = match &config.settings.redis {
            Some(url) => {
                let settings = RedisSettings { tracers: tracers().clone(), ..RedisSettings::default() };
                let redis = Redis::open(url.expose(), settings).map_err(|error| unusable_redis(config, &error))?;
                Arc::new(RedisBroker::new(&redis, PREFIX, MAX_MESSAGES))
            }
            None => Arc::new(InProcessBroker::default()),
        };
        Ok(Self { store, artifacts, broker })
    }
}

/// Finished sessions, where a gateway that is no realtime worker itself finds them.
///
/// # Errors
/// As the location says.
pub async fn shelf(config: &Config) -> Result<Option<Shelf>> {
    match &config.settings.artifacts {
        Some(location) => Ok(Some(Shelf::at(location).await.with_context(|| unusable_files(config))?)),
        None => Ok(None),
    }
}

fn unusable_redis(config: &Config, error: &RedisError) -> ConfigError {
    ConfigError(vec![Problem::new(config.layers.place_of("redis.url"), error.to_string())])
}

fn unusable_files(config: &Config) -> String {
    format!("cannot keep files where {} says", config.layers.place_of("artifacts.url"))
}
