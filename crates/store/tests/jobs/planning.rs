//! What the planner does to a job.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    JobId, TaskId,
    job::{JobError, JobStatus, TaskStatus},
};
use dalston_store::{Change, JobRecord, Outgoing, StoreError};

use crate::{
    fixture::{Fixture, TENANT, new_task, ready},
    of_both_databases,
};

of_both_databases!(
    tasks_come_back_as_they_were_given_in_order,
    apply_is_refused_at_an_old_version,
    whatever_happens_to_a_task_makes_a_decision_old,
    changes_happen_all_or_not_at_all,
    a_job_of_many_channels_is_planned_and_ended_at_once,
    a_ready_task_is_published_with_its_trace,
    a_status_moves_only_where_it_may,
    a_terminal_job_leaves_no_task_open,
    what_the_planner_learns_is_kept,
    tasks_of_other_jobs_are_out_of_reach,
    what_waits_is_given_to_another_engine_and_what_runs_is_not,
);

async fn tasks_come_back_as_they_were_given_in_order(fixture: Fixture) {
    let job = fixture.job().await;
    let mut given = vec![new_task("prepare", &[])];
    for channel in 0..12 {
        let mut task = new_task(&format!("transcribe.{channel}"), &["prepare"]);
        task.channel = Some(channel);
        given.push(task);
    }
    fixture.apply(&job.id, &given.iter().cloned().map(Change::Insert).collect::<Vec<_>>()).await;
    let kept = fixture.store.tasks(&job.id).await.unwrap();
    assert_eq!(kept.len(), given.len());
    for (kept, given) in kept.into_iter().zip(given) {
        assert_eq!((kept.status, kept.attempt, kept.failures, kept.crashes), (TaskStatus::Pending, 0, 0, 0));
        assert_eq!((kept.id, kept.job_id, kept.node, kept.stage), (given.id, job.id.clone(), given.node, given.stage));
        assert_eq!((kept.engine_id, kept.channel, kept.depends_on), (given.engine_id, given.channel, given.depends_on));
        assert_eq!((kept.deadline, kept.max_attempts), (given.deadline, given.max_attempts));
    }
}

async fn apply_is_refused_at_an_old_version(fixture: Fixture) {
    let job = fixture.job().await;
    let (store, other) = (&fixture.store, fixture.other_process().await);
    let insert = |node| [Change::Insert(new_task(node, &[]))];
    let (first, second) = (insert("a"), insert("b"));
    let (first, second) = tokio::join!(store.apply(&job, &[], &first), other.apply(&job, &[], &second));
    assert!(first.unwrap() != second.unwrap(), "of two planners at the same version one decides");
    assert!(!store.apply(&job, &[], &insert("c")).await.unwrap());
    let ahead = JobRecord { version: job.version + 2, ..job.clone() };
    assert!(!store.apply(&ahead, &[], &insert("c")).await.unwrap());
    assert_eq!(store.tasks(&job.id).await.unwrap().len(), 1);
    let gone = JobRecord { id: JobId::generate(), version: 1, ..job };
    assert!(!store.apply(&gone, &[], &insert("c")).await.unwrap(), "there is no such job");
}

async fn whatever_happens_to_a_task_makes_a_decision_old(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let mut versions = vec![fixture.record(&job).await.version];
    let attempt = fixture.start(&task).await.task.attempt;
    versions.push(fixture.record(&job).await.version);
    fixture.store.progress(&task, attempt, 0.5).await.unwrap();
    assert_eq!(fixture.record(&job).await.version, versions[1], "progress decides nothing");
    fixture.store.commit(&task, attempt, "out").await.unwrap();
    versions.push(fixture.record(&job).await.version);
    fixture.store.cancel(TENANT, &job).await.unwrap();
    versions.push(fixture.record(&job).await.version);
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

async fn changes_happen_all_or_not_at_all(fixture: Fixture) {
    let before = fixture.job().await;
    fixture.published().await;
    let task = new_task("prepare", &[]);
    let changes =
        [Change::Insert(task.clone()), ready(&task.id), Change::Job { status: JobStatus::Completed, error: None }];
    let error = fixture.store.apply(&before, &[], &changes).await.unwrap_err();
    assert!(matches!(error, StoreError::Transition { from: "pending", to: "completed", .. }), "{error}");
    assert_eq!(fixture.store.load(&before.id).await.unwrap(), Some((before, vec![])));
    assert_eq!(fixture.published().await, []);
}

async fn a_job_of_many_channels_is_planned_and_ended_at_once(fixture: Fixture) {
    let nodes: Vec<_> = (0..40).map(|channel| format!("transcribe.{channel}")).collect();
    let nodes: Vec<_> = nodes.iter().map(String::as_str).collect();
    let (job, ids) = fixture.job_with(&nodes).await;
    let tasks = fixture.store.tasks(&job).await.unwrap();
    assert!(tasks.iter().map(|task| &task.id).eq(&ids) && tasks.iter().all(|task| task.status == TaskStatus::Ready));
    assert_eq!(fixture.published().await.len(), 1 + ids.len());
    fixture.start(&ids[7]).await;
    fixture.set(&job, JobStatus::Failed).await;
    let tasks = fixture.store.tasks(&job).await.unwrap();
    assert!(tasks.iter().all(|task| task.status == TaskStatus::Cancelled && task.ended_at.is_some()));
}

async fn a_ready_task_is_published_with_its_trace(fixture: Fixture) {
    let job = fixture.job().await;
    fixture.published().await;
    let (first, second) = (new_task("prepare", &[]), new_task("align", &["prepare"]));
    let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01".to_owned());
    let deadline = Duration::from_secs(7);
    let ready = Change::Ready { task: first.id.clone(), deadline, traceparent: traceparent.clone() };
    fixture.apply(&job.id, &[Change::Insert(first.clone()), Change::Insert(second), ready]).await;
    let request_id = job.request_id.to_string();
    let message = Outgoing::Task {
        task: first.id.clone(),
        queue: "engine.prepare-engine".into(),
        traceparent: traceparent.clone(),
        request_id,
    };
    assert_eq!(fixture.published().await, [message]);
    let kept = fixture.task(&job.id, &first.id).await;
    assert_eq!((kept.status, kept.traceparent, kept.deadline), (TaskStatus::Ready, traceparent, deadline));
    assert!(kept.ready_at.is_some());
}

async fn a_status_moves_only_where_it_may(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let refused = async |change: Change| {
        let error = fixture.try_apply(&job, &[change]).await.unwrap_err();
        assert!(matches!(error, StoreError::Transition { .. }), "{error}");
    };
    refused(ready(&task)).await;
    for status in TaskStatus::ALL.iter().filter(|status| !matches!(status, TaskStatus::Cancelled | TaskStatus::Failed))
    {
        refused(Change::Task { task: task.clone(), status: *status, error: None }).await;
    }
    for status in [JobStatus::Pending, JobStatus::Completed] {
        refused(Change::Job { status, error: None }).await;
    }
    fixture.set(&job, JobStatus::Failed).await;
    for status in JobStatus::ALL {
        let change = [Change::Job { status: *status, error: None }];
        assert!(fixture.try_apply(&job, &change).await.is_err(), "a failed job became {status}");
    }
    let change = [Change::Insert(new_task("more", &[]))];
    assert!(fixture.try_apply(&job, &change).await.is_err(), "a failed job got a task");
}

async fn a_terminal_job_leaves_no_task_open(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["a", "b", "c"]).await;
    fixture.apply(&job, &[Change::Insert(new_task("d", &["a"]))]).await;
    let running = fixture.start(&tasks[0]).await.task;
    let done = fixture.start(&tasks[1]).await.task;
    assert!(fixture.store.commit(&done.id, done.attempt, "out").await.unwrap());
    fixture.set(&job, JobStatus::Failed).await;
    let statuses: Vec<_> = fixture.store.tasks(&job).await.unwrap().iter().map(|task| task.status).collect();
    let cancelled = TaskStatus::Cancelled;
    assert_eq!(statuses, [cancelled, TaskStatus::Completed, cancelled, cancelled]);
    assert!(!fixture.store.commit(&running.id, running.attempt, "late").await.unwrap());
}

async fn what_the_planner_learns_is_kept(fixture: Fixture) {
    // The same statement without it, on each connection that there may be: it must not be bound to that.
    for _ in 0..20 {
        let unread = fixture.job().await;
        fixture.set(&unread.id, JobStatus::Failed).await;
        assert_eq!(fixture.record(&unread.id).await.audio_duration, None);
    }
    let (job, task) = fixture.job_with_task().await;
    let work = fixture.start(&task).await;
    fixture.store.commit(&task, work.task.attempt, "out").await.unwrap();
    let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(1_900_000_000_123);
    let error = JobError { code: "x".into(), message: "y".into(), stage: Some("align".into()) };
    let changes = [
        Change::Prepared { duration: 61.25 },
        Change::Result { key: "jobs/1/transcript.json".into() },
        Change::Expires(Some(expires)),
        Change::Job { status: JobStatus::Failed, error: Some(error.clone()) },
    ];
    fixture.apply(&job, &changes).await;
    let kept = fixture.record(&job).await;
    assert_eq!((kept.audio_duration, kept.result.as_deref()), (Some(61.25), Some("jobs/1/transcript.json")));
    assert_eq!((kept.expires_at, kept.error), (Some(expires), Some(error)));
    assert!(kept.started_at.is_some() && kept.ended_at >= kept.started_at);
    fixture.apply(&job, &[Change::Expires(None)]).await;
    assert_eq!(fixture.record(&job).await.expires_at, None);
}

async fn tasks_of_other_jobs_are_out_of_reach(fixture: Fixture) {
    let (_, task) = fixture.job_with_task().await;
    let job = fixture.job().await;
    for task in [task, TaskId::generate()] {
        let change = [Change::Task { task, status: TaskStatus::Cancelled, error: None }];
        let error = fixture.store.apply(&job, &[], &change).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSuchTask { .. }), "{error}");
    }
}

async fn what_waits_is_given_to_another_engine_and_what_runs_is_not(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["waits", "runs"]).await;
    let later = new_task("later", &["waits"]);
    let later_id = later.id.clone();
    fixture.apply(&job, &[Change::Insert(later)]).await;
    fixture.start(&tasks[1]).await;
    fixture.published().await;
    let assign = |task: &TaskId| Change::Assign { task: task.clone(), engine_id: "other".into() };
    fixture.apply(&job, &[assign(&tasks[0]), assign(&later_id)]).await;
    let published = fixture.published().await;
    let [Outgoing::Task { task, queue, .. }] = &published[..] else { panic!("{published:?}") };
    assert_eq!((task, queue.as_str()), (&tasks[0], "engine.other"), "what is not ready is not given out");
    assert!(fixture.try_apply(&job, &[assign(&tasks[1])]).await.is_err());
    assert_eq!(fixture.start(&tasks[0]).await.task.engine_id, "other");
    assert_eq!(fixture.task(&job, &later_id).await.engine_id, "other");
}
