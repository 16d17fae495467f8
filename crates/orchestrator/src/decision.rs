//! What is to be done about a job now. Pure: records in, changes out, so that it can be asked again at any time, by
//! anybody, and a lost message costs nothing but time.

use std::collections::{BTreeMap, BTreeSet};

use dalston_engine_sdk::batch::Prepared;
use dalston_protocol::{
    TaskId,
    job::{JobError, JobStatus, TaskStatus},
};
use dalston_store::jobs::{Change, JobRecord, NewTask, TaskRecord};

use crate::pipeline::{Node, Pipeline};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Nothing: it is terminal, or engines are at work.
    Wait,
    /// These changes, all or none.
    Change(Vec<Change>),
    /// Every task is done: the transcript is to be put together and the job completed.
    Assemble,
}

/// Decides. `prepared` is the result of the first stage once that is completed.
pub fn decide(
    job: &JobRecord,
    tasks: &[TaskRecord],
    prepared: Option<&Prepared>,
    pipeline: &Pipeline,
    new_id: &mut dyn FnMut() -> TaskId,
) -> Decision {
    match job.status {
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => return Decision::Wait,
        // Cancelled says that nothing runs any more. Who has a task hears of it and tells, or is found to be gone.
        JobStatus::Cancelling if tasks.iter().any(|task| task.status == TaskStatus::Running) => return Decision::Wait,
        JobStatus::Cancelling => return end(JobStatus::Cancelled, None),
        JobStatus::Pending | JobStatus::Running => {}
    }
    if let Some(failed) = tasks.iter().find(|task| task.status == TaskStatus::Failed) {
        let error = failed.error.clone().unwrap_or_else(|| unexplained(failed));
        return end(JobStatus::Failed, Some(error));
    }
    let plan = match pipeline.plan(&job.parameters, prepared) {
        Ok(plan) => plan,
        Err(error) => return end(JobStatus::Failed, Some(error)),
    };

    let mut changes = Vec::new();
    let known: BTreeMap<&str, &TaskRecord> = tasks.iter().map(|task| (task.node.as_str(), task)).collect();
    let done: BTreeSet<&str> = tasks
        .iter()
        .filter(|task| matches!(task.status, TaskStatus::Completed | TaskStatus::Skipped))
        .map(|task| task.node.as_str())
        .collect();
    if let (Some(prepared), None) = (prepared, job.audio_duration) {
        changes.push(Change::Prepared { duration: prepared.duration });
    }
    for node in &plan.nodes {
        let id = match known.get(node.name.as_str()) {
            Some(task) => {
                if is_unserved(task, pipeline) {
                    changes.push(Change::Assign { task: task.id.clone(), engine_id: node.engine_id.clone() });
                }
                if task.status != TaskStatus::Pending {
                    continue;
                }
                task.id.clone()
            }
            None => {
                let id = new_id();
                changes.push(Change::Insert(new_task(id.clone(), node)));
                id
            }
        };
        if node.depends_on.iter().all(|needed| done.contains(needed.as_str())) {
            changes.push(Change::Ready { task: id, deadline: node.deadline, traceparent: None });
        }
    }
    let is_begun = changes.iter().any(|change| matches!(change, Change::Ready { .. }));
    if is_begun && job.status == JobStatus::Pending {
        changes.push(Change::Job { status: JobStatus::Running, error: None });
    }
    let is_done = plan.is_whole && plan.nodes.iter().all(|node| done.contains(node.name.as_str()));
    match (changes.is_empty(), is_done) {
        (true, true) => Decision::Assemble,
        (true, false) => Decision::Wait,
        (false, _) => Decision::Change(changes),
    }
}

/// Whether a task waits for an engine that there is not any more.
pub(crate) fn is_unserved(task: &TaskRecord, pipeline: &Pipeline) -> bool {
    matches!(task.status, TaskStatus::Pending | TaskStatus::Ready)
        && !pipeline.engines().iter().any(|engine| engine.engine_id == task.engine_id)
}

/// Ends a job. The store ends with it every task that is not done: what still runs is fenced off, and told when it next
/// says how far it is.
fn end(status: JobStatus, error: Option<JobError>) -> Decision {
    Decision::Change(vec![Change::Job { status, error }])
}

fn new_task(id: TaskId, node: &Node) -> NewTask {
    NewTask {
        id,
        node: node.name.clone(),
        stage: node.stage.to_string(),
        engine_id: node.engine_id.clone(),
        channel: node.channel,
        depends_on: node.depends_on.clone(),
        deadline: node.deadline,
        max_attempts: node.max_attempts,
    }
}

fn unexplained(task: &TaskRecord) -> JobError {
    let message = "the task failed without a reason".to_owned();
    JobError { code: "internal".into(), message, stage: Some(task.stage.clone()) }
}
