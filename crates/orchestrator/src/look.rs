//! A look at a job: read it, decide, write, until there is nothing more to do.

use std::time::{Duration, SystemTime};

use dalston_broker::Delivery;
use dalston_engine_sdk::batch::{Aligned, Diarized, Prepared, Stage, Transcribed};
use dalston_protocol::{
    JobId, TaskId,
    job::{JobError, JobStatus, TaskStatus, Transcript},
    realtime::Retention,
};
use dalston_store::{
    artifacts::{TaskOutputFile, job_folder, node_folder},
    jobs::{Change, JOB_QUEUE, JobRecord, TaskRecord, engine_queue, job_end_topic, job_topic},
};
use dalston_telemetry::{Component, MessagingOperation, Span, StepKind, TraceContext, key, names::span};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{
    Orchestrator, OrchestratorError,
    assembly::{Heard, assemble},
    decision::{Decision, decide, is_unserved},
    engines::read_engines,
    pipeline::Pipeline,
};

/// Writes that one look may try: each that is refused means that somebody else did something for the job.
const MOST_WRITES: usize = 32;
/// Most bytes of a stage's result: an hour of words is a megabyte.
const MAX_RESULT: u64 = 256 * 1024 * 1024;

impl Orchestrator {
    /// Takes jobs to look at from the queue.
    pub(crate) async fn looks(self, consumer: String, shutdown: CancellationToken) {
        /// How long an empty queue is waited for before it is asked again.
        const WAIT: Duration = Duration::from_secs(30);
        /// After a failure, which is of the store's or the broker's: they must not be asked all the time.
        const PAUSE: Duration = Duration::from_secs(1);
        let queues = [JOB_QUEUE.to_owned()];
        loop {
            let claimed = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                claimed = self.broker.claim(&queues, &consumer, self.settings.lease, WAIT) => claimed,
            };
            let outcome = match claimed {
                Ok(None) => continue,
                Ok(Some(delivery)) => self.take(&delivery).await,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = outcome {
                tracing::warn!(%error, "a look at a job failed and comes again");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    async fn take(&self, delivery: &Delivery) -> Result<(), OrchestratorError> {
        let looked = match delivery.body.parse::<JobId>() {
            Ok(id) => self.look(&id).await,
            Err(error) => {
                tracing::error!(%error, "a message that names no job is dropped");
                Ok(())
            }
        };
        match looked {
            // A zombie's acknowledgement is refused; whoever has the message looks again and finds nothing to do.
            Ok(()) => self.broker.acknowledge(&delivery.claim).await.map(drop).map_err(Into::into),
            Err(error) => {
                self.broker.release(&delivery.claim).await?;
                Err(error)
            }
        }
    }

    /// Does what is to be done about a job now.
    ///
    /// # Errors
    /// Of the store, the artifacts or the broker. Nothing is half done.
    pub async fn look(&self, id: &JobId) -> Result<(), OrchestratorError> {
        let mut pipeline = Pipeline::new(self.engines.now());
        for _ in 0..MOST_WRITES {
            let Some((job, tasks)) = self.store.load(id).await? else { return Ok(()) };
            if job.status.is_terminal() {
                // Its artifacts may be gone. Who cancelled it, where nothing ran, has left the rest to us.
                return self.close(&job, &tasks).await;
            }
            // The gateway, or another orchestrator, knew an engine for it: one that was announced since this process looked.
            let is_unknown = || {
                pipeline.plan(&job.parameters, None).is_err() || tasks.iter().any(|task| is_unserved(task, &pipeline))
            };
            if !self.settings.alone && is_unknown() {
                read_engines(&self.store, &self.engines).await?;
                pipeline = Pipeline::new(self.engines.now());
            }
            match self.step(&job, &tasks, &pipeline).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.is_for_good() => self.give_up(&job, &tasks, &error).await?,
                Err(error) => return Err(error),
            }
        }
        Err(OrchestratorError::BadResult { node: id.to_string(), reason: "the job does not come to rest".into() })
    }

    /// Does the next thing. Whether the job is at rest then: nothing more is to be done until somebody has news of it, and
    /// says so.
    async fn step(
        &self,
        job: &JobRecord,
        tasks: &[TaskRecord],
        pipeline: &Pipeline,
    ) -> Result<bool, OrchestratorError> {
        let prepared = if needs_results(job, tasks) { self.prepared(tasks).await? } else { None };
        match decide(job, tasks, prepared.as_ref(), pipeline, &mut TaskId::generate) {
            Decision::Wait => Ok(true),
            Decision::Change(changes) => self.change(job, tasks, changes).await,
            Decision::Assemble => self.complete(job, tasks, prepared.as_ref()).await,
        }
    }

    /// Ends a job whose results are lost: looking again would find them no better.
    async fn give_up(
        &self,
        job: &JobRecord,
        tasks: &[TaskRecord],
        error: &OrchestratorError,
    ) -> Result<(), OrchestratorError> {
        tracing::error!(%error, job_id = %job.id, request_id = %job.request_id, "what a stage came to is lost");
        let message = "what one of its stages came to is lost or damaged; send it again".to_owned();
        let error = JobError { code: "internal".into(), message, stage: None };
        self.change(job, tasks, vec![Change::Job { status: JobStatus::Failed, error: Some(error) }]).await.map(drop)
    }

    async fn change(
        &self,
        job: &JobRecord,
        tasks: &[TaskRecord],
        mut changes: Vec<Change>,
    ) -> Result<bool, OrchestratorError> {
        let name = if tasks.is_empty() { span::HANDLE_JOB } else { span::HANDLE_TASK_COMPLETED };
        let handle = self.span(job, name, StepKind::Consumer, &parent(job));
        let inserts = changes.iter().filter(|change| matches!(change, Change::Insert(_))).count();
        if inserts > 0 {
            let build = self.span(job, span::BUILD_DAG, StepKind::Internal, &handle.context());
            build.set(key::TASKS, tasks.len() + inserts);
        }
        // Open until they are written: a task is scheduled when its row says so.
        let scheduled = self.schedule(job, tasks, &mut changes, &handle);
        let ended = changes.iter().find_map(|change| match change {
            Change::Job { status, .. } if status.is_terminal() => Some(*status),
            _ => None,
        });
        if ended == Some(JobStatus::Failed) {
            handle.fail("job_failed", "a task of the job failed for good");
        }
        if ended.is_some() {
            changes.push(Change::Expires(expiry(job)));
        }
        // Engines have it now, and what they come to is looked at when they say so.
        let is_at_rest = ended.is_some() || !scheduled.is_empty();
        let applied = self.store.apply(job, tasks, &changes).await?;
        if !applied {
            scheduled.iter().chain([&handle]).for_each(supersede);
        }
        drop(scheduled);
        if applied {
            self.wake(&job_topic(&job.id)).await;
            if let Some(status) = ended {
                handle.around(self.ended(job, status)).await?;
            }
        }
        Ok(applied && is_at_rest)
    }

    /// Gives each task that becomes ready a span, which its engine's work will be a child of.
    fn schedule(&self, job: &JobRecord, tasks: &[TaskRecord], changes: &mut [Change], handle: &Span) -> Vec<Span> {
        let named = |id: &TaskId, stage: &str, engine: &str| (id.clone(), stage.to_owned(), engine.to_owned());
        let mut names: Vec<_> = tasks.iter().map(|task| named(&task.id, &task.stage, &task.engine_id)).collect();
        let mut spans = Vec::new();
        for change in changes {
            match change {
                Change::Insert(task) => names.push(named(&task.id, &task.stage, &task.engine_id)),
                Change::Assign { task, engine_id } => {
                    names
                        .iter_mut()
                        .filter(|(id, ..)| id == task)
                        .for_each(|(.., engine)| engine.clone_from(engine_id));
                }
                Change::Ready { task, traceparent, .. } => {
                    let span = self.span(job, span::SCHEDULE_TASK, StepKind::Producer, &handle.context());
                    span.label(key::TASK_ID, task.as_str());
                    if let Some((_, stage, engine)) = names.iter().find(|(id, ..)| id == task) {
                        span.label(key::STAGE, stage);
                        span.messaging(MessagingOperation::Send, &engine_queue(engine));
                    }
                    *traceparent = span.context().to_traceparent();
                    spans.push(span);
                }
                _ => {}
            }
        }
        spans
    }

    async fn complete(
        &self,
        job: &JobRecord,
        tasks: &[TaskRecord],
        prepared: Option<&Prepared>,
    ) -> Result<bool, OrchestratorError> {
        let handle = self.span(job, span::HANDLE_TASK_COMPLETED, StepKind::Consumer, &parent(job));
        let assembling = self.span(job, span::ASSEMBLE, StepKind::Internal, &handle.context());
        let transcript = self.assembled(job, tasks, prepared).await?;
        let result = format!("{}/transcript.json", job_folder(&job.id));
        let json = serde_json::to_vec(&transcript).map_err(|error| bad_result("transcript", &error))?;
        self.artifacts.put(&result, json).await?;
        // Another look may be as far as this one, and only one completes the job. Whoever traces is to know before the spans
        // end; nobody else has to ask, since an old version changes nothing.
        let is_old = |now: Option<JobRecord>| now.is_none_or(|now| now.version != job.version);
        if !self.tracers.is_off() && is_old(self.store.job(&job.tenant, &job.id).await?) {
            [&assembling, &handle].into_iter().for_each(supersede);
            return Ok(false);
        }
        drop(assembling);

        let mark = self.span(job, span::MARK_JOB_COMPLETED, StepKind::Internal, &handle.context());
        let changes = [
            Change::Result { key: result },
            Change::Job { status: JobStatus::Completed, error: None },
            Change::Expires(expiry(job)),
        ];
        let applied = self.store.apply(job, tasks, &changes).await?;
        if !applied {
            [&mark, &handle].into_iter().for_each(supersede);
        }
        drop(mark);
        if applied {
            self.wake(&job_topic(&job.id)).await;
            handle.around(self.ended(job, JobStatus::Completed)).await?;
        }
        Ok(applied)
    }

    /// Sees to it that a job that ended without us expires too.
    async fn close(&self, job: &JobRecord, tasks: &[TaskRecord]) -> Result<(), OrchestratorError> {
        let expires = expiry(job);
        if job.expires_at.is_some() || expires.is_none() {
            return Ok(());
        }
        if self.store.apply(job, tasks, &[Change::Expires(expires)]).await? {
            self.wake(&job_topic(&job.id)).await;
            self.ended(job, job.status).await?;
        }
        Ok(())
    }

    /// Lossy, as whoever waits for it knows: what was done stays done, and is gone on with.
    async fn wake(&self, topic: &str) {
        if let Err(error) = self.broker.notify(topic).await {
            tracing::debug!(%error, "nobody was woken");
        }
    }

    async fn ended(&self, job: &JobRecord, status: JobStatus) -> Result<(), OrchestratorError> {
        self.wake(&job_end_topic(&job.id)).await;
        let took = SystemTime::now().duration_since(job.created_at).unwrap_or_default();
        self.metrics.jobs.job_ended(status.as_str(), took);
        let seconds = took.as_secs_f64();
        tracing::info!(job_id = %job.id, request_id = %job.request_id, %status, seconds, "job ended");
        if job.parameters.retention == Retention::None {
            // The upload and what was made of it; the transcript stays until it expires.
            self.artifacts.remove(&job.source.key).await?;
            self.artifacts.remove(&node_folder(&job.id, Stage::PREPARE.as_str())).await?;
        }
        Ok(())
    }

    async fn assembled(
        &self,
        job: &JobRecord,
        tasks: &[TaskRecord],
        prepared: Option<&Prepared>,
    ) -> Result<Transcript, OrchestratorError> {
        let prepared = prepared.ok_or_else(|| bad_result("prepare", &"it is not there"))?;
        let mut heard: Vec<Heard> = Vec::new();
        let mut diarized = None;
        for task in tasks.iter().filter(|task| task.status == TaskStatus::Completed) {
            if task.stage == Stage::TRANSCRIBE.as_str() {
                let transcribed: Transcribed = self.result(task).await?;
                heard.push(Heard { channel: task.channel, transcribed, aligned: None });
            } else if task.stage == Stage::DIARIZE.as_str() {
                diarized = Some(self.result::<Diarized>(task).await?);
            }
        }
        let is_done = |task: &&TaskRecord| task.status == TaskStatus::Completed;
        for task in tasks.iter().filter(is_done).filter(|task| task.stage == Stage::ALIGN.as_str()) {
            if let Some(heard) = heard.iter_mut().find(|heard| heard.channel == task.channel) {
                heard.aligned = Some(self.result::<Aligned>(task).await?);
            }
        }
        heard.sort_by_key(|heard| heard.channel);
        Ok(assemble(&job.parameters, prepared, heard, diarized.as_ref()))
    }

    async fn prepared(&self, tasks: &[TaskRecord]) -> Result<Option<Prepared>, OrchestratorError> {
        let is_done =
            |task: &&TaskRecord| task.stage == Stage::PREPARE.as_str() && task.status == TaskStatus::Completed;
        match tasks.iter().find(is_done) {
            Some(task) => self.result(task).await.map(Some),
            None => Ok(None),
        }
    }

    async fn result<T: DeserializeOwned>(&self, task: &TaskRecord) -> Result<T, OrchestratorError> {
        let key = task.output.as_deref().ok_or_else(|| bad_result(&task.node, &"it was not kept"))?;
        let bytes = self.artifacts.get(key, MAX_RESULT).await?;
        let file: TaskOutputFile = serde_json::from_slice(&bytes).map_err(|error| bad_result(&task.node, &error))?;
        T::deserialize(file.result).map_err(|error| bad_result(&task.node, &error))
    }

    fn span(&self, job: &JobRecord, name: &'static str, kind: StepKind, parent: &TraceContext) -> Span {
        let span = self.tracers.step(Component::Orchestrator, kind, name, parent, &TraceContext::none());
        span.label(key::JOB_ID, job.id.as_str());
        span.label(key::REQUEST_ID, job.request_id.as_str());
        span
    }
}

/// Marks a span whose work came to nothing: somebody else changed the job first.
fn supersede(span: &Span) {
    span.label(key::OUTCOME, "superseded");
}

/// Whether what is to be done depends on what its stages came to. A job that only ends must not wait for artifacts, which may be
/// lost.
fn needs_results(job: &JobRecord, tasks: &[TaskRecord]) -> bool {
    job.status != JobStatus::Cancelling && tasks.iter().all(|task| task.status != TaskStatus::Failed)
}

fn parent(job: &JobRecord) -> TraceContext {
    job.traceparent.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent)
}

/// When a job that ends now is removed.
fn expiry(job: &JobRecord) -> Option<SystemTime> {
    /// Long enough to fetch what was asked for.
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    match job.parameters.retention {
        Retention::None => Some(SystemTime::now() + HOUR),
        Retention::Days(days) => Some(SystemTime::now() + DAY * days.into()),
        Retention::Forever => None,
    }
}

fn bad_result(node: &str, reason: &dyn std::fmt::Display) -> OrchestratorError {
    OrchestratorError::BadResult { node: node.to_owned(), reason: reason.to_string() }
}
