//! Numbers of the batch side. Stages come from a pipeline, statuses from a closed list, queues from the engines there are.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Seconds;
use crate::names::metric;

/// Metrics of jobs, tasks and queues.
#[derive(Debug)]
pub struct JobMetrics {
    /// Jobs that were accepted.
    pub created: Counter,
    /// From acceptance to the end.
    pub duration: Seconds,
    ended: Family<StatusLabels, Counter>,
    tasks: Family<TaskLabels, Counter>,
    task_duration: Family<StageLabels, Histogram>,
    task_wait: Family<StageLabels, Histogram>,
    webhooks: Family<OutcomeLabels, Counter>,
    depth: Family<QueueLabels, Gauge>,
    oldest: Family<QueueLabels, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    stage: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: Arc<str>,
}

impl Default for JobMetrics {
    fn default() -> Self {
        Self {
            created: Counter::default(),
            duration: Seconds::doubling(0.01, 20),
            ended: Family::default(),
            tasks: Family::default(),
            task_duration: Family::new_with_constructor(|| Seconds::doubling(0.001, 22).0),
            task_wait: Family::new_with_constructor(|| Seconds::doubling(0.001, 22).0),
            webhooks: Family::default(),
            depth: Family::default(),
            oldest: Family::default(),
        }
    }
}

impl JobMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(metric::JOBS_CREATED, "Jobs that were accepted", self.created.clone());
        registry.register(metric::JOBS_ENDED, "Jobs that became terminal, by status", self.ended.clone());
        registry.register(metric::TASKS_ENDED, "Attempts at tasks, by stage and outcome", self.tasks.clone());
        registry.register(metric::WEBHOOKS, "Attempts to tell webhooks, by outcome", self.webhooks.clone());
        registry.register(metric::QUEUE_DEPTH, "Messages that nobody has claimed", self.depth.clone());
        let mut seconds = |name: &str, help: &str, of: Family<StageLabels, Histogram>| {
            registry.register_with_unit(name, help, Unit::Seconds, of);
        };
        seconds(metric::TASK_DURATION, "Time of an attempt at a task", self.task_duration.clone());
        seconds(metric::TASK_WAIT, "Time from ready to running", self.task_wait.clone());
        let help = "Time from acceptance to the end of a job";
        registry.register_with_unit(metric::JOB_DURATION, help, Unit::Seconds, self.duration.0.clone());
        let help = "Age of the oldest message that nobody has claimed";
        registry.register_with_unit(metric::QUEUE_OLDEST, help, Unit::Seconds, self.oldest.clone());
    }

    /// A job became terminal. `status` is a word of the program.
    pub fn job_ended(&self, status: &'static str, took: Duration) {
        self.ended.get_or_create_owned(&StatusLabels { status }).inc();
        self.duration.observe(took);
    }

    /// An attempt at a task began after this wait.
    pub fn task_started(&self, stage: &str, waited: Duration) {
        self.task_wait.get_or_create(&StageLabels { stage: stage.into() }).observe(waited.as_secs_f64());
    }

    /// An attempt at a task ended. `outcome` is a word of the program: `completed`, `retried`, `put_off`, `failed`, `cancelled`,
    /// `lost`.
    pub fn task_ended(&self, stage: &str, outcome: &'static str, took: Duration) {
        let stage: Arc<str> = stage.into();
        self.task_duration.get_or_create(&StageLabels { stage: stage.clone() }).observe(took.as_secs_f64());
        self.tasks.get_or_create_owned(&TaskLabels { stage, outcome }).inc();
    }

    /// A task was given up that lost its runners too often: `poisoned` among the outcomes. No attempt ended with it.
    pub fn task_poisoned(&self, stage: &str) {
        self.tasks.get_or_create_owned(&TaskLabels { stage: stage.into(), outcome: "poisoned" }).inc();
    }

    /// An attempt to tell a webhook ended. `outcome` is a word of the program: `delivered`, `retried`, `dead`, `gone`.
    pub fn webhook(&self, outcome: &'static str) {
        self.webhooks.get_or_create_owned(&OutcomeLabels { outcome }).inc();
    }

    /// How a queue stands.
    pub fn queue(&self, queue: &str, ready: u64, oldest: Duration) {
        let labels = QueueLabels { queue: queue.into() };
        self.depth.get_or_create_owned(&labels).set(ready.try_into().unwrap_or(i64::MAX));
        self.oldest.get_or_create_owned(&labels).set(oldest.as_secs_f64());
    }
}
