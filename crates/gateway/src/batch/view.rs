//! Records of the store as the API shows them.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    job::{Job, JobCreated, JobStatus, Stage, Task, TaskStatus},
    round_ms,
};
use dalston_store::{JobRecord, TaskRecord};
use dalston_telemetry::TraceContext;

/// RFC 3339 with milliseconds.
pub(super) fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

pub(super) fn created(job: &JobRecord) -> JobCreated {
    JobCreated { id: job.id.clone(), status: job.status, created_at: time(job.created_at) }
}

/// Without stages and transcript, as it stands in lists.
pub(super) fn summary(job: &JobRecord) -> Job {
    let trace = job.traceparent.as_deref().map(TraceContext::from_traceparent).unwrap_or_default();
    Job {
        id: job.id.clone(),
        status: job.status,
        name: job.name.clone(),
        parameters: job.parameters.clone(),
        request_id: job.request_id.clone(),
        trace_id: trace.trace_id(),
        created_at: time(job.created_at),
        started_at: job.started_at.map(time),
        completed_at: job.ended_at.map(time),
        expires_at: job.expires_at.map(time),
        audio_duration: job.audio_duration,
        progress: if job.status == JobStatus::Completed { 1.0 } else { 0.0 },
        stages: Vec::new(),
        error: job.error.clone(),
        transcript: None,
    }
}

/// With its stages, and how far they are.
pub(super) fn with_stages(job: &JobRecord, tasks: &[TaskRecord], now: SystemTime) -> Job {
    let mut view = summary(job);
    if job.status != JobStatus::Completed {
        view.progress = progress(tasks);
    }
    view.stages = tasks.iter().map(|task| stage(task, now)).collect();
    view
}

pub(super) fn task(task: &TaskRecord, now: SystemTime) -> Task {
    Task {
        id: task.id.clone(),
        node: task.node.clone(),
        depends_on: task.depends_on.clone(),
        stage: stage(task, now),
        attempts: task.attempt,
        crashes: task.crashes,
        ready_at: task.ready_at.map(time),
        started_at: task.started_at.map(time),
        completed_at: task.ended_at.map(time),
        error: task.error.clone(),
    }
}

fn stage(task: &TaskRecord, now: SystemTime) -> Stage {
    let is_waiting = task.status == TaskStatus::Ready;
    let wait_until = if is_waiting { Some(now) } else { task.started_at };
    let ended = task.ended_at.or(Some(now).filter(|_| task.status == TaskStatus::Running));
    // A task that waits for its next attempt has the times of the last one.
    let started_at = task.started_at.filter(|_| !is_waiting);
    Stage {
        stage: task.stage.clone(),
        channel: task.channel,
        engine_id: task.engine_id.clone(),
        status: task.status,
        progress: done(task),
        // What earlier attempts took, and the pauses between, is waiting for this one.
        wait_seconds: between(task.first_ready_at, wait_until),
        duration_seconds: between(started_at, ended),
    }
}

/// Zero where a clock went back.
fn between(from: Option<SystemTime>, to: Option<SystemTime>) -> Option<f64> {
    let seconds = |time: Duration| round_ms(time.as_secs_f64());
    Some(seconds(to?.duration_since(from?).unwrap_or_default()))
}

fn done(task: &TaskRecord) -> f64 {
    if task.status == TaskStatus::Completed { 1.0 } else { task.progress }
}

/// Of a job: the mean over what there is to do. A plan that is not made yet is not begun.
fn progress(tasks: &[TaskRecord]) -> f64 {
    let needed = || tasks.iter().filter(|task| task.status != TaskStatus::Skipped);
    match needed().count() {
        0 => 0.0,
        count => round_ms(needed().map(done).sum::<f64>() / count as f64),
    }
}

#[cfg(test)]
mod tests {
    use dalston_protocol::{JobId, TaskId};

    use super::*;

    fn record(status: TaskStatus, progress: f64) -> TaskRecord {
        let at = |seconds: u64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        TaskRecord {
            id: TaskId::generate(),
            job_id: JobId::generate(),
            node: "transcribe".into(),
            stage: "transcribe".into(),
            engine_id: "scripted".into(),
            channel: None,
            depends_on: vec!["prepare".into()],
            status,
            attempt: 1,
            failures: 0,
            crashes: 0,
            max_attempts: 3,
            deadline: Duration::from_secs(60),
            progress,
            runner: None,
            output: None,
            error: None,
            traceparent: None,
            first_attempt: None,
            first_ready_at: at(4),
            ready_at: at(10),
            started_at: at(12),
            ended_at: status.is_terminal().then(|| at(17)).flatten(),
        }
    }

    #[test]
    fn a_stage_tells_how_long_it_waited_and_worked_its_earlier_attempts_included() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(15);
        let times = |status| {
            let stage = stage(&record(status, 0.5), now);
            (stage.wait_seconds, stage.duration_seconds)
        };
        assert_eq!(times(TaskStatus::Completed), (Some(8.0), Some(5.0)));
        assert_eq!(times(TaskStatus::Running), (Some(8.0), Some(3.0)));
        assert_eq!(times(TaskStatus::Ready), (Some(11.0), None));
    }

    #[test]
    fn a_job_is_as_far_as_what_it_needs() {
        assert_eq!(progress(&[]), 0.0);
        let tasks =
            [record(TaskStatus::Completed, 0.3), record(TaskStatus::Running, 0.5), record(TaskStatus::Skipped, 0.0)];
        assert_eq!(progress(&tasks), 0.75);
    }
}
