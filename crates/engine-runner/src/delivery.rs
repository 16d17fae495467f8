//! From a message to its end.

use std::time::Duration;

use dalston_broker::{Claim, Delivery};
use dalston_protocol::TaskId;
use dalston_store::{PutOff, Started, StoreError, TaskFailure, TaskRecord};
use dalston_telemetry::{Span, key};
use tracing::Instrument;

use crate::{
    attempt::{Attempt, process_span},
    slots::Slot,
    station::Station,
    stop::Reason,
    work::Ended,
};

/// What is to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    /// The store has no need of it any more.
    Settled,
    /// Somebody is to have it again, now …
    Open,
    /// … or after a while: the store does not answer.
    OpenLater,
}

impl Station {
    /// Takes a message to its end. The slot is taken until then, so that a slow store does not let attempts pile up.
    pub(crate) async fn handle(self, delivery: Delivery, slot: Slot) {
        let mut slot = Some(slot);
        let message = self.settle(&delivery, &mut slot).await;
        if message == Message::OpenLater {
            self.pause().await;
        }
        match message {
            Message::Settled => self.acknowledge(&delivery.claim).await,
            Message::Open | Message::OpenLater => self.release(&delivery.claim).await,
        }
    }

    async fn settle(&self, delivery: &Delivery, slot: &mut Option<Slot>) -> Message {
        let Ok(task) = delivery.body.parse::<TaskId>() else {
            tracing::error!(queue = delivery.claim.queue, "a message names no task and is dropped");
            return Message::Settled;
        };
        let Some(_entry) = self.under_way.enter(&task) else {
            tracing::debug!(task_id = %task, "a second message for a task that is under way is dropped");
            return Message::Settled;
        };
        let is_redelivered = delivery.claim.deliveries > 1;
        let mut process = Span::none();
        let open = |task: &TaskRecord| {
            process = process_span(&self.tracers, task);
            process.context().to_traceparent()
        };
        match self.store.start_in(&task, &self.settings.name, is_redelivered, open).await {
            Ok(Started::Run(work)) => {
                let attempt = Attempt::begin(work, process, &self.tracers);
                let scope = attempt.scope();
                self.run(attempt, &delivery.claim, slot).instrument(scope).await
            }
            Ok(Started::Poisoned) => {
                self.metrics.jobs.task_poisoned(&self.info.stage.to_string());
                tracing::error!(task_id = %task, "a task has killed its runners too often and is given up");
                Message::Settled
            }
            Ok(Started::Stale) => {
                // Opened, if somebody else changed the task just then.
                process.label(key::OUTCOME, "superseded");
                tracing::debug!(task_id = %task, "a message for a task that is not to be done is dropped");
                Message::Settled
            }
            Err(error) => {
                process.fail("store", "the attempt could not be begun");
                tracing::warn!(%error, task_id = %task, "a task could not be begun");
                Message::OpenLater
            }
        }
    }

    async fn run(&self, attempt: Attempt, claim: &Claim, slot: &mut Option<Slot>) -> Message {
        self.metrics.jobs.task_started(&attempt.task.stage, attempt.waited());
        self.notify(&attempt.job.id).await;
        let work = async {
            tokio::select! {
                biased;
                ended = self.work(&attempt, slot) => ended,
                never = self.keep(&attempt, claim) => match never {},
            }
        };
        let ended = attempt.process.around(work).await;
        let message = attempt.process.around(self.conclude(&attempt, ended)).await;
        let job = attempt.job.id.clone();
        // Its span ends before anybody is told that the task has.
        drop(attempt);
        self.notify(&job).await;
        message
    }

    /// Tells the store what became of an attempt.
    async fn conclude(&self, attempt: &Attempt, ended: Ended) -> Message {
        let (id, token) = (&attempt.task.id, attempt.task.attempt);
        match ended {
            Ended::Done { output } => {
                let committed = self.store.commit_begun(&attempt.task, &attempt.job, &output).await;
                self.told(attempt, committed, "completed").await
            }
            Ended::Failed(failure) => self.fail(attempt, &failure).await,
            Ended::Hindered(failure) => self.put_off(attempt, &failure).await,
            Ended::Stopped(Reason::Deadline) => {
                let limit = attempt.task.deadline;
                let message = format!("the task was not done within {limit:?}");
                let code = Reason::Deadline.as_str().into();
                self.fail(attempt, &TaskFailure { code, message, retryable: true }).await
            }
            // That nothing runs any more is what a job that is being cancelled waits for.
            Ended::Stopped(reason @ Reason::Cancelled) => {
                let (code, message) = (reason.as_str().into(), "the task was cancelled".into());
                let told = self.store.fail(id, token, &TaskFailure { code, message, retryable: false }).await;
                self.told(attempt, told, "cancelled").await
            }
            Ended::Stopped(reason @ Reason::Lost) => {
                self.end(attempt, reason.as_str());
                self.forget(attempt).await;
                Message::Settled
            }
            Ended::Stopped(Reason::Shutdown) => {
                self.end(attempt, "lost");
                self.forget(attempt).await;
                if let Err(error) = self.store.give_back(id, token).await {
                    tracing::warn!(%error, "a task could not be given back, and will count as lost with its runner");
                }
                Message::Open
            }
        }
    }

    /// Has a task wait that could not be done here and now. One that waited for hours fails of it.
    async fn put_off(&self, attempt: &Attempt, failure: &TaskFailure) -> Message {
        tracing::error!(
            event = "task_put_off",
            code = failure.code,
            attempt = attempt.task.attempt,
            "a task waits: {}",
            failure.message
        );
        attempt.process.fail("task_put_off", "the attempt could not be made");
        let told = match self.store.put_off(&attempt.task.id, attempt.task.attempt, failure).await {
            Ok(PutOff::TooOften) => return self.fail(attempt, failure).await,
            Ok(told) => Ok(told == PutOff::Yes),
            Err(error) => Err(error),
        };
        self.told(attempt, told, "put_off").await
    }

    async fn fail(&self, attempt: &Attempt, failure: &TaskFailure) -> Message {
        let (code, message, retryable) = (&failure.code, &failure.message, failure.retryable);
        tracing::warn!(
            code,
            retryable,
            attempt = attempt.task.attempt,
            reason = message,
            "an attempt at a task failed"
        );
        attempt.process.fail("task_failed", "the attempt failed");
        let told = self.store.fail(&attempt.task.id, attempt.task.attempt, failure).await;
        let is_last = !retryable || attempt.task.failures + 1 >= attempt.task.max_attempts;
        self.told(attempt, told, if is_last { "failed" } else { "retried" }).await
    }

    /// What the store answered at the end of an attempt that came to `outcome`.
    async fn told(&self, attempt: &Attempt, told: Result<bool, StoreError>, outcome: &'static str) -> Message {
        match told {
            Ok(true) => {
                self.end(attempt, outcome);
                if outcome != "completed" {
                    self.forget(attempt).await;
                }
                Message::Settled
            }
            Ok(false) => {
                self.end(attempt, "lost");
                self.forget(attempt).await;
                Message::Settled
            }
            // It may have heard: whoever begins the task next will see. What was written stays until then.
            Err(error) => {
                tracing::warn!(%error, "the store could not be told how an attempt ended");
                self.end(attempt, "lost");
                Message::OpenLater
            }
        }
    }

    fn end(&self, attempt: &Attempt, outcome: &'static str) {
        let took = attempt.began.elapsed();
        self.metrics.jobs.task_ended(&attempt.task.stage, outcome, took);
        attempt.process.set(key::OUTCOME, outcome);
        let (stage, number) = (&attempt.task.stage, attempt.task.attempt);
        let seconds = millis(took);
        tracing::info!(outcome, stage, attempt = number, seconds, "an attempt at a task has ended");
    }

    /// Removes what an attempt wrote that comes to nothing. What cannot be removed goes with the job.
    async fn forget(&self, attempt: &Attempt) {
        if let Err(error) = self.artifacts.remove(&attempt.prefix()).await {
            tracing::debug!(%error, "the artifacts of an attempt are left");
        }
    }
}

/// Seconds with three digits.
fn millis(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}
