//! The work of one attempt: inputs, engine, output.

use std::io;

use dalston_engine_sdk::batch::{TaskError, TaskInput, TaskOutput};
use dalston_store::TaskFailure;
use dalston_telemetry::{Span, key, names::span};
use tokio::time::sleep;

use crate::{
    attempt::Attempt,
    context::Context,
    hindrance::{Hindrance, is_full, of_io},
    outputs::NoOutput,
    scratch::Folder,
    slots::Slot,
    station::Station,
    stop::Reason,
    thread::{EngineThread, Returned},
};

/// Longest message of an engine that is kept, in bytes.
const MAX_MESSAGE: usize = 500;

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Everything is written, and this artifact tells of it.
    Done { output: String },
    /// It failed.
    Failed(TaskFailure),
    /// It could not be made, through no fault of the task: there is no room, or what keeps the artifacts does not answer.
    Hindered(TaskFailure),
    /// It was asked to stop.
    Stopped(Reason),
}

impl Station {
    /// Does the work until it is done or `stop` is asked for. Dropping it leaves no file behind. Takes the slot away if
    /// its thread does not return.
    pub(crate) async fn work(&self, attempt: &Attempt, slot: &mut Option<Slot>) -> Ended {
        match self.scratch.folder() {
            Ok(folder) => {
                let ended = self.work_in(&folder, attempt, slot).await;
                // A thread that does not return still has it.
                if slot.is_some() {
                    folder.give_back().await;
                } else {
                    folder.remove().await;
                }
                ended
            }
            Err(error) => {
                tracing::error!(%error, "no folder could be made for a task");
                match of_io(&error) {
                    Some(hindrance) => hindrance.into(),
                    None => failed("no_scratch", "no folder could be made for the files of the task", true),
                }
            }
        }
    }

    async fn work_in(&self, folder: &Folder, attempt: &Attempt, slot: &mut Option<Slot>) -> Ended {
        let input = match self.download(attempt, folder).await {
            Ok(input) => input,
            Err(ended) => return ended,
        };
        match self.process(attempt, input, slot).await {
            Ok(output) => self.upload(attempt, &output, folder.work()).await,
            // It is not for an engine to know of what its writing failed.
            Err(Ended::Failed(failure)) if failure.retryable && is_full(folder.work()).await => Hindrance::Full.into(),
            Err(ended) => ended,
        }
    }

    async fn download(&self, attempt: &Attempt, folder: &Folder) -> Result<TaskInput, Ended> {
        let step = attempt.step(span::DOWNLOAD_INPUT);
        let input = tokio::select! {
            reason = attempt.stop.requested() => return Err(Ended::Stopped(reason)),
            input = step.around(self.inputs(attempt, folder)) => input,
        };
        input
            .map(|(input, bytes)| {
                step.set(key::ARTIFACT_BYTES, bytes);
                input
            })
            .map_err(|error| {
                step.in_scope(|| tracing::warn!(%error, "the inputs of a task could not be read"));
                step.fail("input_unavailable", "the inputs could not be read");
                if let Some(hindrance) = error.hindrance() {
                    return hindrance.into();
                }
                failed("input_unavailable", "the inputs of the task could not be read", true)
            })
    }

    /// Runs the engine. Whatever it says after it was asked to stop does not count.
    async fn process(&self, attempt: &Attempt, input: TaskInput, slot: &mut Option<Slot>) -> Result<TaskOutput, Ended> {
        let step = attempt.step(attempt.task.stage.clone());
        let mut thread = match self.start_thread(attempt, input, step) {
            Ok(thread) => thread,
            Err(error) => {
                tracing::error!(%error, "no thread could be started for a task");
                return Err(failed("engine_failed", "the engine could not be started", true));
            }
        };
        let impatience = async {
            attempt.stop.requested().await;
            sleep(self.settings.grace).await;
        };
        let returned = tokio::select! {
            biased;
            returned = thread.join() => returned,
            () = impatience => {
                if let Some(slot) = slot.take() {
                    let (stuck, is_replaced) = self.slots.lose(slot);
                    tracing::error!(is_replaced, engine_id = self.info.engine_id, "an engine's thread does not return");
                    thread.give_up(stuck);
                }
                return Err(Ended::Stopped(attempt.stop.requested().await));
            }
        };
        if attempt.stop.is_requested() {
            return Err(Ended::Stopped(attempt.stop.requested().await));
        }
        match returned {
            Returned::Said(Ok(output)) => Ok(output),
            Returned::Said(Err(error)) => Err(Ended::Failed(failure(&error))),
            Returned::Panicked => Err(failed("engine_panicked", "the engine panicked", true)),
        }
    }

    fn start_thread(&self, attempt: &Attempt, input: TaskInput, step: Span) -> io::Result<EngineThread> {
        let context = Context {
            progress: attempt.progress.clone(),
            stop: attempt.stop.clone(),
            deadline: attempt.deadline,
            traceparent: step.context().to_traceparent(),
            request_id: attempt.job.request_id.to_string(),
        };
        let (engine, scope) = (self.engine.clone(), attempt.scope());
        EngineThread::start(&self.threads, move || {
            let step = Unwinds(step);
            let result = step.0.in_scope(|| scope.in_scope(|| engine.process(&input, &context)));
            if let Err(error) = &result {
                step.0.fail(error.code(), "the engine failed");
            }
            result
        })
    }

    async fn upload(&self, attempt: &Attempt, output: &TaskOutput, folder: &std::path::Path) -> Ended {
        let step = attempt.step(span::UPLOAD_OUTPUT);
        let kept = tokio::select! {
            reason = attempt.stop.requested() => return Ended::Stopped(reason),
            kept = step.around(self.keep_output(attempt, output, folder)) => kept,
        };
        match kept {
            Ok((output, bytes)) => {
                step.set(key::ARTIFACT_BYTES, bytes);
                Ended::Done { output }
            }
            Err(NoOutput::Refused(message)) => {
                step.fail("output_refused", "the engine's output was refused");
                failed("output_refused", message, false)
            }
            Err(error) => {
                step.in_scope(|| tracing::warn!(%error, "the output of a task could not be kept"));
                step.fail("output_not_kept", "the output could not be kept");
                if let Some(hindrance) = error.hindrance() {
                    return hindrance.into();
                }
                failed("output_not_kept", "the output of the task could not be kept", true)
            }
        }
    }
}

/// A span that says so when a panic ends it.
struct Unwinds(Span);

impl Drop for Unwinds {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("engine_panicked", "the engine panicked");
        }
    }
}

fn failure(error: &TaskError) -> TaskFailure {
    let mut message = match error {
        TaskError::Cancelled => "the engine gave up without being asked to".to_owned(),
        told => told.to_string(),
    };
    message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    let retryable = !matches!(error, TaskError::Rejected { .. });
    TaskFailure { code: error.code().into(), message, retryable }
}

fn failed(code: &str, message: impl Into<String>, retryable: bool) -> Ended {
    Ended::Failed(TaskFailure { code: code.into(), message: message.into(), retryable })
}
