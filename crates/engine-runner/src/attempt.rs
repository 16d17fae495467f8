//! One attempt at a task, and its spans.

use std::{sync::Arc, time::SystemTime};

use dalston_store::{JobRecord, TaskRecord, Work, engine_queue, node_folder};
use dalston_telemetry::{Component, MessagingOperation, Span, StepKind, TraceContext, Tracers, key, names};
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
    pub(crate) fn begin(work: Work, process: Span, tracers: &Tracers) -> Self {
        let Work { task, job, dependencies } = work;
        let (began, tracers) = (Instant::now(), tracers.clone());
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

/// `engine.{engine_id}.process` of an attempt that begins, linked to the first attempt at its task if it is not that.
pub(crate) fn process_span(tracers: &Tracers, task: &TaskRecord) -> Span {
    if tracers.is_off() {
        return Span::none();
    }
    let context =
        |text: &Option<String>| text.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent);
    let name = format!("engine.{}.process", task.engine_id);
    let component = Component::engine(&task.stage);
    let span =
        tracers.step(component, StepKind::Consumer, name, &context(&task.traceparent), &context(&task.first_attempt));
    span.set(key::QUEUE_WAIT_SECONDS, waited(task));
    span.messaging(MessagingOperation::Process, &engine_queue(&task.engine_id));
    span
}

fn waited(task: &TaskRecord) -> std::time::Duration {
    let began = task.started_at.unwrap_or_else(SystemTime::now);
    task.ready_at.and_then(|ready| began.duration_since(ready).ok()).unwrap_or_default()
}
