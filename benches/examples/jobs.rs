//! What a job costs besides the work: jobs of two stages that do nothing, through store, broker, orchestrator and runners in
//! one process, as `dalston serve` has them.
//!
//! `cargo run --release -p dalston-benches --example jobs -- 10000` prints, for each tenth of the jobs, how many a second came to
//! their end while so many were kept already, and what each cost in processor time, clients included. Then it sends jobs at half
//! of the best rate, on a schedule that does not wait for the server, and prints how long they took to be accepted. In the end
//! the peak of memory.
//!
//! `jobs 10000 postgres://… redis://…` does the same over these, as `dalston serve` with roles does, its parts in one process.
//! The database is to be an empty one. Files lie in `TMPDIR`: what making and removing them costs differs much between file systems.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dalston_broker::{Broker, InProcessBroker, RedisBroker};
use dalston_engine_runner::{Runner, RunnerSettings};
use dalston_engine_sdk::batch::{
    Engine, EngineInfo, Prepared, Stage, TaskContext, TaskError, TaskInput, TaskOutput, Transcribed,
};
use dalston_orchestrator::{Orchestrator, Settings};
use dalston_protocol::{
    JobId, RequestId,
    job::{JobParameters, JobStatus},
};
use dalston_redis::Redis;
use dalston_store::{
    Artifacts, JobStore, job_end_topic, job_folder,
    jobs::{NewJob, Source},
};
use dalston_telemetry::{Metrics, Tracers};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Jobs that are under way at once.
const AT_ONCE: usize = 256;
/// Longest time between two looks at a job, as the gateway has it for a client with `wait=true`.
const LOOK: Duration = Duration::from_secs(2);
const TENANT: &str = "bench";
/// Most that wait in the broker.
const MESSAGES: usize = 100_000;

/// What several machines would share.
struct Shared {
    database: String,
    redis: String,
}

/// Does nothing, for one of the two stages.
struct Nothing(Stage);

impl Engine for Nothing {
    fn info(&self) -> EngineInfo {
        EngineInfo { concurrency: 8, ..EngineInfo::new(format!("nothing_{}", self.0), self.0.clone()) }
    }

    fn process(&self, _: &TaskInput, _: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
        if self.0 == Stage::PREPARE {
            let prepared = Prepared {
                duration: 1.0,
                channels: 1,
                sample_rate: 16_000,
                codec: "none".into(),
                loudness_db: None,
                warnings: Vec::new(),
            };
            return TaskOutput::of(&prepared);
        }
        TaskOutput::of(&Transcribed::default())
    }
}

/// A server's batch side.
struct Stand {
    store: JobStore,
    artifacts: Artifacts,
    broker: Arc<dyn Broker>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Stand {
    async fn open(folder: &Path, shared: Option<Shared>) -> Result<Self> {
        let alone = shared.is_none();
        let (store, broker): (JobStore, Arc<dyn Broker>) = match shared {
            None => {
                let store = JobStore::open(&format!("sqlite:{}", folder.join("jobs.db").display())).await?;
                (store, Arc::new(InProcessBroker::default()))
            }
            Some(Shared { database, redis }) => {
                let redis = Redis::open(&redis, dalston_redis::Settings::default())?;
                let broker = RedisBroker::new(&redis, &JobId::generate().to_string(), MESSAGES);
                (JobStore::open(&database).await?, Arc::new(broker))
            }
        };
        let artifacts = Artifacts::local(&folder.join("artifacts"))?;
        let (tracers, metrics) = (Tracers::off(), Arc::new(Metrics::new()));
        let engines = [Stage::PREPARE, Stage::TRANSCRIBE].map(|stage| Arc::new(Nothing(stage)));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let infos: Vec<_> = engines.iter().map(|engine| engine.info()).collect();
        let orchestrator = Orchestrator::new(
            store.clone(),
            artifacts.clone(),
            broker.clone(),
            infos,
            tracers.clone(),
            metrics.clone(),
            Settings { alone, ..Settings::default() },
        );
        tasks.spawn(orchestrator.run(stop.clone()));
        for engine in engines {
            let settings = RunnerSettings::new(folder.join("scratch").join(engine.0.as_str()));
            let (store, artifacts, broker) = (store.clone(), artifacts.clone(), broker.clone());
            let runner = Runner::new(engine, store, artifacts, broker, tracers.clone(), metrics.clone(), settings);
            let stop = stop.clone();
            tasks.spawn(async move { runner.run(stop).await.expect("the runner has a folder") });
        }
        Ok(Self { store, artifacts, broker, stop, tasks })
    }

    /// Uploads a job and waits for its end, as a client with `wait=true` has it. Gives the time until it was accepted.
    async fn job(&self) -> Result<Duration> {
        let (id, began) = (JobId::generate(), Instant::now());
        let key = format!("{}/source", job_folder(&id));
        let stored = self.artifacts.put(&key, &b"nothing"[..]).await?;
        let mut ended = self.broker.subscribe(&job_end_topic(&id)).await?;
        let job = NewJob {
            id: id.clone(),
            tenant: TENANT.into(),
            name: None,
            parameters: JobParameters::default(),
            request_id: RequestId::generate(),
            traceparent: None,
            source: Source { key, file_name: None, bytes: stored.bytes, sha256: stored.sha256 },
            idempotency: None,
        };
        self.store.create(job).await?;
        let accepted = began.elapsed();
        loop {
            let job = self.store.job(TENANT, &id).await?.context("the job is gone")?;
            if job.status.is_terminal() {
                ensure!(job.status == JobStatus::Completed, "{id}: {}", job.status);
                return Ok(accepted);
            }
            // A wake-up may be lost; then the next look finds it.
            let _ = tokio::time::timeout(LOOK, ended.next()).await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let jobs: usize = arguments.next().map_or(Ok(10_000), |number| number.parse())?;
    let shared = arguments.next().zip(arguments.next()).map(|(database, redis)| Shared { database, redis });
    let folder = tempfile::tempdir()?;
    let stand = Arc::new(Stand::open(folder.path(), shared).await?);
    println!("{:>12} {:>12} {:>14} {:>16}", "kept before", "jobs/s", "CPU per job", "accepted p99");
    let part = jobs.div_ceil(10).max(1);
    let mut best = 0.0_f64;
    for number in 0..10 {
        let (began, cpu) = (Instant::now(), cpu_seconds());
        let mut accepted = many(&stand, part).await?;
        let rate = part as f64 / began.elapsed().as_secs_f64();
        best = best.max(rate);
        let cost = (cpu_seconds() - cpu) / part as f64 * 1e3;
        let p99 = percentile(&mut accepted, 99);
        println!("{:>12} {rate:>12.0} {cost:>11.2} ms {p99:>13.1} ms", number * part);
    }
    let mut accepted = paced(&stand, jobs.div_ceil(2), best / 2.0).await?;
    let (p50, p99) = (percentile(&mut accepted, 50), percentile(&mut accepted, 99));
    println!("at {:.0} jobs/s: accepted p50 {p50:.1} ms, p99 {p99:.1} ms", best / 2.0);
    println!("peak memory {}", peak_memory()?);
    stand.stop.cancel();
    let stand = Arc::into_inner(stand).context("somebody still has the stand")?;
    stand.tasks.join_all().await;
    stand.store.close().await;
    Ok(())
}

/// Sends jobs at a rate, however long the server takes. Times count from the moment at which each was to be sent.
async fn paced(stand: &Arc<Stand>, jobs: usize, rate: f64) -> Result<Vec<Duration>> {
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..jobs {
        let due = began + Duration::from_secs_f64(number as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let (stand, late) = (stand.clone(), due.elapsed());
        under_way.spawn(async move { Ok(late + stand.job().await?) });
    }
    under_way.join_all().await.into_iter().collect()
}

/// In milliseconds.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(place).map_or(0.0, Duration::as_secs_f64) * 1e3
}

/// Processor time of this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

async fn many(stand: &Arc<Stand>, jobs: usize) -> Result<Vec<Duration>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut under_way = JoinSet::new();
    for _ in 0..jobs {
        let place = places.clone().acquire_owned().await?;
        let stand = stand.clone();
        under_way.spawn(async move {
            let accepted = stand.job().await;
            drop(place);
            accepted
        });
    }
    under_way.join_all().await.into_iter().collect()
}

fn peak_memory() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.context("no VmHWM")?.trim().to_owned())
}
