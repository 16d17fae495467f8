//! Whatever is done to a job, in whatever order and at the same time.

use std::{collections::BTreeMap, time::SystemTime};

use dalston_protocol::{
    JobId, TaskId,
    job::{JobStatus, TaskStatus},
};
use dalston_store::{Change, JobRecord, JobStore, TaskRecord};
use futures_util::future::join_all;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::fixture::{Fixture, RUNNER, TENANT, for_good, new_task, passing, ready};

#[derive(Debug, Clone)]
enum Act {
    Start(usize, bool),
    DispatchAgain,
    Commit(usize, u32),
    /// As by the runner that has the task.
    CommitBegun(usize),
    Fail {
        task: usize,
        attempt: u32,
        is_final: bool,
    },
    Progress(usize, u32),
    Cancel,
    Replay,
    Plan,
    /// Applies what was decided on the version before this.
    PlanLate(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let (task, attempt) = (0..2_usize, 1..6_u32);
    prop_oneof![
        4 => (task.clone(), any::<bool>()).prop_map(|(task, redelivered)| Act::Start(task, redelivered)),
        1 => Just(Act::DispatchAgain),
        3 => (task.clone(), attempt.clone()).prop_map(|(task, attempt)| Act::Commit(task, attempt)),
        3 => task.clone().prop_map(Act::CommitBegun),
        2 => (task.clone(), attempt.clone(), any::<bool>())
            .prop_map(|(task, attempt, is_final)| Act::Fail { task, attempt, is_final }),
        1 => (task, attempt).prop_map(|(task, attempt)| Act::Progress(task, attempt)),
        1 => Just(Act::Cancel),
        1 => Just(Act::Replay),
        5 => Just(Act::Plan),
        1 => (1..3_i64).prop_map(Act::PlanLate),
    ]
}

/// What a planner of two tasks, one after the other, would do now.
fn plan(job: &JobRecord, tasks: &[TaskRecord]) -> Vec<Change> {
    let end = |status| vec![Change::Job { status, error: None }];
    let is = |i: usize, status| tasks[i].status == status;
    let any = |status| tasks.iter().any(|task| task.status == status);
    match job.status {
        status if status.is_terminal() => vec![],
        JobStatus::Cancelling if any(TaskStatus::Running) => vec![],
        JobStatus::Cancelling => end(JobStatus::Cancelled),
        _ if any(TaskStatus::Failed) => end(JobStatus::Failed),
        _ if is(0, TaskStatus::Pending) => vec![ready(&tasks[0].id)],
        _ if is(0, TaskStatus::Completed) && is(1, TaskStatus::Pending) => {
            vec![ready(&tasks[1].id)]
        }
        _ if is(0, TaskStatus::Completed) && is(1, TaskStatus::Completed) => end(JobStatus::Completed),
        _ => vec![],
    }
}

/// What the store said to an act.
#[derive(Debug, PartialEq)]
enum Said {
    Committed(TaskId),
    Replayed,
    Other,
}

async fn perform(store: JobStore, job: JobId, tasks: [TaskId; 2], act: Act) -> Said {
    match act {
        Act::Start(task, redelivered) => drop(store.start(&tasks[task], RUNNER, redelivered).await.unwrap()),
        Act::DispatchAgain => drop(store.dispatch_again(&job, SystemTime::now(), |_, _| true).await.unwrap()),
        Act::Commit(task, attempt) => {
            if store.commit(&tasks[task], attempt, "out").await.unwrap() {
                return Said::Committed(tasks[task].clone());
            }
        }
        Act::CommitBegun(task) => {
            let (job, all) = store.load(&job).await.unwrap().unwrap();
            let begun = all.iter().find(|found| found.id == tasks[task] && found.status == TaskStatus::Running);
            if let Some(begun) = begun
                && store.commit_begun(begun, &job, "out").await.unwrap()
            {
                return Said::Committed(begun.id.clone());
            }
        }
        Act::Fail { task, attempt, is_final } => {
            let failure = if is_final { for_good() } else { passing() };
            store.fail(&tasks[task], attempt, &failure).await.unwrap();
        }
        Act::Progress(task, attempt) => drop(store.progress(&tasks[task], attempt, 0.5).await.unwrap()),
        Act::Cancel => drop(store.cancel(TENANT, &job).await.unwrap()),
        Act::Replay => {
            if store.replay(TENANT, &job).await.unwrap() {
                return Said::Replayed;
            }
        }
        Act::Plan => {
            let (record, tasks) = store.load(&job).await.unwrap().unwrap();
            store.apply(&record, &tasks, &plan(&record, &tasks)).await.unwrap();
        }
        Act::PlanLate(late) => {
            let (mut record, tasks) = store.load(&job).await.unwrap().unwrap();
            // It stood so then, for all that the store can know.
            (record.status, record.version) = (JobStatus::Cancelling, record.version - late);
            let change = [Change::Job { status: JobStatus::Cancelled, error: None }];
            assert!(!store.apply(&record, &tasks, &change).await.unwrap());
        }
    }
    Said::Other
}

/// Groups of acts; those of a group happen at the same time.
async fn check(fixture: &Fixture, groups: Vec<Vec<Act>>) {
    let job = fixture.job().await.id;
    let new = [new_task("first", &[]), new_task("second", &["first"])];
    let tasks = [new[0].id.clone(), new[1].id.clone()];
    fixture.apply(&job, &new.map(Change::Insert)).await;
    let mut commits = BTreeMap::<TaskId, u32>::new();
    let mut before = fixture.record(&job).await;
    for group in groups {
        let acts = group
            .iter()
            .map(|act| tokio::spawn(perform(fixture.store.clone(), job.clone(), tasks.clone(), act.clone())));
        let mut was_replayed = false;
        for said in join_all(acts).await {
            match said.unwrap() {
                Said::Committed(task) => *commits.entry(task).or_default() += 1,
                Said::Replayed => was_replayed = true,
                Said::Other => {}
            }
        }
        let (now, kept) = fixture.store.load(&job).await.unwrap().unwrap();
        assert!(commits.values().all(|count| *count == 1), "a task was committed twice: {commits:?}");
        for task in &kept {
            let is_completed = task.status == TaskStatus::Completed;
            assert_eq!(is_completed, commits.contains_key(&task.id), "{task:?} after {commits:?}");
        }
        if before.status.is_terminal() && !was_replayed {
            assert_eq!((now.status, now.ended_at), (before.status, before.ended_at), "a terminal job moved");
        }
        if now.status.is_terminal() {
            assert!(kept.iter().all(|task| task.status.is_terminal()), "{kept:?} of a job that is {}", now.status);
        }
        assert_eq!(now.ended_at.is_some(), now.status.is_terminal());
        assert!(now.version >= before.version);
        let has_begun = !matches!(kept[1].status, TaskStatus::Pending | TaskStatus::Cancelled);
        assert!(!has_begun || kept[0].status == TaskStatus::Completed, "the second before the first: {kept:?}");
        before = now;
    }
}

fn check_many(fixture: impl Future<Output = Fixture>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fixture = runtime.block_on(fixture);
    // No file of past failures: it would be written into the sources.
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() };
    let groups = vec(vec(act(), 1..4), 1..24);
    let ran = TestRunner::new(config).run(&groups, |groups| {
        runtime.block_on(check(&fixture, groups));
        Ok(())
    });
    ran.unwrap();
}

#[test]
fn no_order_of_events_commits_twice_or_moves_a_terminal_job_in_sqlite() {
    check_many(Fixture::sqlite());
}

#[test]
fn no_order_of_events_commits_twice_or_moves_a_terminal_job_in_postgresql() {
    check_many(Fixture::postgres());
}
