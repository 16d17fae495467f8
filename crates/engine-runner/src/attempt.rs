//! One attempt at a task, and its spans.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use dalston_protocol::TaskId;
use dalston_store::{JobRecord, TaskRecord, Work, engine_queue, node_folder};
use dalston_telemetry::{Component, Span, StepKind, TraceContext, Tracers, key, names};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    context::Progress,
    stop::{Reason, Stop},
};

/// An attempt, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) task: TaskRecord,
    pub(crate) job: JobRecord,
    pub(crate) dependencies: Vec<TaskRecord>,
    pub(crate) began: Instant,
    /// When it is to be done, inputs and outputs included.
    pub(crate) deadline: Instant,
    pub(crate) progress: Arc<Progress>,
    pub(crate) stop: Arc<Stop>,
    /// `engine.{engine_id}.process`.
    pub(crate) process: Span,
    tracers: Tracers,
}

impl Attempt {
    pub(crate) fn begin(work: Work, tracers: &Tracers, first_attempts: &FirstAttempts) -> Self {
        let Work { task, job, dependencies } = work;
        let (began, tracers) = (Instant::now(), tracers.clone());
        let process = process_span(&tracers, &task, first_attempts);
        let (progress, stop) = Default::default();
        let attempt =
            Self { deadline: began + task.deadline, task, job, dependencies, began, progress, stop, process, tracers };
        attempt.name(&attempt.process);
        attempt
    }

    /// A child of its span.
    pub(crate) fn step(&self, name: impl Into<std::borrow::Cow<'static, str>>) -> Span {
        let component = Component::engine(&self.task.stage);
        let parent = self.process.context();
        let span = self.tracers.step(component, StepKind::Internal, name, &parent, &TraceContext::none());
        self.name(&span);
        span
    }

    fn name(&self, span: &Span) {
        span.label(key::JOB_ID, self.job.id.as_str());
        span.label(key::TASK_ID, self.task.id.as_str());
        span.label(key::REQUEST_ID, self.job.request_id.as_str());
        span.label(key::ENGINE_ID, &self.task.engine_id);
        span.label(key::STAGE, &self.task.stage);
        span.set(key::ATTEMPT, self.task.attempt);
        if let Some(channel) = self.task.channel {
            span.set(key::CHANNEL, channel);
        }
    }

    /// Lends its ids to log lines.
    pub(crate) fn scope(&self) -> tracing::Span {
        let (request_id, job_id, task_id) = (&self.job.request_id, &self.job.id, &self.task.id);
        tracing::error_span!(target: names::SCOPE_TARGET, "scope", %request_id, %job_id, %task_id)
    }

    /// What the keys of its artifacts begin with. No other attempt has the same.
    pub(crate) fn prefix(&self) -> String {
        format!("{}/{}", node_folder(&self.job.id, &self.task.node), self.task.attempt)
    }

    /// How long the task was ready before it began.
    pub(crate) fn waited(&self) -> std::time::Duration {
        waited(&self.task)
    }
}

/// However it ends, its engine is told.
impl Drop for Attempt {
    fn drop(&mut self) {
        self.stop.request(Reason::Shutdown);
    }
}

fn process_span(tracers: &Tracers, task: &TaskRecord, first_attempts: &FirstAttempts) -> Span {
    if tracers.is_off() {
        return Span::none();
    }
    let parent = task.traceparent.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent);
    let first = first_attempts.of(&task.id);
    let name = format!("engine.{}.process", task.engine_id);
    let span = tracers.step(Component::engine(&task.stage), StepKind::Consumer, name, &parent, &first);
    span.set(key::QUEUE_WAIT_SECONDS, waited(task));
    span.label(key::MESSAGING_DESTINATION, &engine_queue(&task.engine_id));
    first_attempts.keep(&task.id, &span.context());
    span
}

fn waited(task: &TaskRecord) -> std::time::Duration {
    let began = task.started_at.unwrap_or_else(SystemTime::now);
    task.ready_at.and_then(|ready| began.duration_since(ready).ok()).unwrap_or_default()
}

/// The spans of attempts that a later attempt may be linked to: the last of this runner. What another process began is
/// not among them; the parent that both have shows it.
#[derive(Debug, Default)]
pub(crate) struct FirstAttempts(Mutex<VecDeque<(TaskId, TraceContext)>>);

impl FirstAttempts {
    const KEPT: usize = 256;

    fn of(&self, task: &TaskId) -> TraceContext {
        let kept = self.0.lock();
        kept.iter().find(|(of, _)| of == task).map_or_else(TraceContext::none, |(_, context)| context.clone())
    }

    fn keep(&self, task: &TaskId, context: &TraceContext) {
        let mut kept = self.0.lock();
        if kept.iter().any(|(of, _)| of == task) {
            return;
        }
        if kept.len() == Self::KEPT {
            kept.pop_front();
        }
        kept.push_back((task.clone(), context.clone()));
    }
}
