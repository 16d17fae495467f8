//! Cancelling, replaying, deleting and expiring.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    JobId,
    job::{JobError, JobParameters, JobStatus, TaskStatus},
    realtime::Retention,
};
use dalston_store::{Change, Deleted, NewJob, Outgoing, Standing, Started};

use crate::{
    fixture::{Fixture, REDELIVERED, RUNNER, TENANT, for_good, new_job, new_task, passing, ready},
    of_both_databases,
};

of_both_databases!(
    a_job_of_which_nothing_runs_is_cancelled_at_once,
    a_running_task_learns_of_cancellation,
    a_cancelled_task_is_not_tried_again,
    a_task_whose_runner_is_gone_is_not_begun_again_once_cancelled,
    cancelled_is_final,
    a_failed_job_is_replayed,
    only_a_failed_job_is_replayed,
    a_job_whose_files_were_not_to_be_kept_is_not_replayed,
    what_is_given_back_ends_once_cancelled,
    a_zombie_of_the_first_try_is_no_part_of_the_replay,
    only_what_has_ended_is_deleted,
    what_expired_is_told,
);

async fn a_job_of_which_nothing_runs_is_cancelled_at_once(fixture: Fixture) {
    let planned = fixture.job_with(&["a"]).await.0;
    let fresh = fixture.job().await.id;
    fixture.published().await;
    for job in [planned, fresh] {
        assert_eq!(fixture.store.cancel(TENANT, &job).await.unwrap(), Some(JobStatus::Cancelled));
        let kept = fixture.record(&job).await;
        assert!(kept.status == JobStatus::Cancelled && kept.ended_at.is_some());
        let mut tasks = fixture.store.tasks(&job).await.unwrap().into_iter();
        assert!(tasks.all(|task| task.status == TaskStatus::Cancelled && task.ended_at.is_some()));
        assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
    }
    assert_eq!(fixture.store.cancel(TENANT, &JobId::generate()).await.unwrap(), None);
}

async fn a_running_task_learns_of_cancellation(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["a", "b"]).await;
    fixture.start(&tasks[0]).await;
    assert_eq!(fixture.store.progress(&tasks[0], 1, 0.2).await.unwrap(), Standing::Yours);
    fixture.published().await;
    assert_eq!(fixture.store.cancel(TENANT, &job).await.unwrap(), Some(JobStatus::Cancelling));
    assert_eq!(fixture.store.cancel(TENANT, &job).await.unwrap(), Some(JobStatus::Cancelling));
    assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())], "once");
    assert_eq!(fixture.store.progress(&tasks[0], 1, 0.4).await.unwrap(), Standing::Cancelled);
    assert_eq!(fixture.store.start(&tasks[1], RUNNER, REDELIVERED).await.unwrap(), Started::Stale, "it only waited");
    // Its end is told, and the planner ends the job.
    assert!(fixture.store.fail(&tasks[0], 1, &passing()).await.unwrap());
    assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())]);
    fixture.set(&job, JobStatus::Cancelled).await;

    // A job that fails elsewhere stops its other tasks in the same way.
    let (job, tasks) = fixture.job_with(&["a", "b"]).await;
    fixture.start(&tasks[0]).await;
    fixture.start(&tasks[1]).await;
    fixture.store.fail(&tasks[1], 1, &for_good()).await.unwrap();
    fixture.set(&job, JobStatus::Failed).await;
    assert_eq!(fixture.store.progress(&tasks[0], 1, 0.4).await.unwrap(), Standing::Cancelled);
}

async fn a_cancelled_task_is_not_tried_again(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.cancel(TENANT, &job).await.unwrap();
    fixture.published().await;
    assert!(fixture.store.fail(&task, 1, &passing()).await.unwrap());
    assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Cancelled);
    fixture.pass_time().await;
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
}

async fn a_task_whose_runner_is_gone_is_not_begun_again_once_cancelled(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.cancel(TENANT, &job).await.unwrap();
    fixture.published().await;
    assert_eq!(fixture.store.start(&task, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Cancelled);
    assert_eq!(fixture.published().await, [Outgoing::Job(job)], "so that the job can end");
}

async fn cancelled_is_final(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.cancel(TENANT, &job).await.unwrap();
    for status in [JobStatus::Completed, JobStatus::Failed, JobStatus::Running] {
        let change = [Change::Job { status, error: None }];
        assert!(fixture.try_apply(&job, &change).await.is_err(), "a job being cancelled became {status}");
    }
    fixture.set(&job, JobStatus::Cancelled).await;
    let ended = fixture.store.load(&job).await.unwrap();
    fixture.published().await;
    assert!(!fixture.store.commit(&task, 1, "late").await.unwrap());
    assert!(!fixture.store.fail(&task, 1, &passing()).await.unwrap());
    assert!(!fixture.store.replay(TENANT, &job).await.unwrap());
    assert_eq!(fixture.store.start(&task, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    assert_eq!(fixture.store.cancel(TENANT, &job).await.unwrap(), Some(JobStatus::Cancelled));
    assert_eq!(fixture.store.load(&job).await.unwrap(), ended);
    assert_eq!(fixture.published().await, []);
}

async fn a_failed_job_is_replayed(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["done", "bad", "other"]).await;
    fixture.apply(&job, &[Change::Insert(new_task("last", &["bad"]))]).await;
    let last = fixture.store.tasks(&job).await.unwrap().remove(3).id;
    fixture.start(&tasks[0]).await;
    fixture.store.commit(&tasks[0], 1, "kept").await.unwrap();
    fixture.start(&tasks[1]).await;
    fixture.store.fail(&tasks[1], 1, &for_good()).await.unwrap();
    fixture.set(&job, JobStatus::Failed).await;
    fixture.apply(&job, &[Change::Expires(Some(SystemTime::now()))]).await;
    let dead = fixture.store.dead(TENANT, 10, None).await.unwrap().tasks;
    assert_eq!(dead.iter().map(|dead| &dead.task.id).collect::<Vec<_>>(), [&tasks[1]]);
    assert_eq!(dead[0].task.error.as_ref().unwrap().code, "unsupported_audio");
    fixture.published().await;

    assert!(fixture.store.replay(TENANT, &job).await.unwrap());
    let kept = fixture.record(&job).await;
    assert_eq!((kept.status, kept.error, kept.ended_at, kept.expires_at), (JobStatus::Running, None, None, None));
    let statuses: Vec<_> = fixture.store.tasks(&job).await.unwrap().iter().map(|task| task.status).collect();
    let pending = TaskStatus::Pending;
    assert_eq!(statuses, [TaskStatus::Completed, TaskStatus::Ready, pending, pending]);
    let published = fixture.published().await;
    assert!(matches!(&published[0], Outgoing::Task { task, .. } if *task == tasks[1]), "{published:?}");
    assert_eq!(published[1..], [Outgoing::Job(job.clone())]);
    assert_eq!(fixture.store.dead(TENANT, 10, None).await.unwrap().tasks, []);

    // With all its attempts, and to the end.
    let work = fixture.start(&tasks[1]).await;
    assert_eq!((work.task.attempt, work.task.failures), (2, 0));
    assert!(fixture.store.commit(&tasks[1], 2, "out").await.unwrap());
    for task in [&tasks[2], &last] {
        fixture.apply(&job, &[ready(task)]).await;
        fixture.start(task).await;
        assert!(fixture.store.commit(task, 1, "out").await.unwrap());
    }
    fixture.set(&job, JobStatus::Completed).await;
}

async fn only_a_failed_job_is_replayed(fixture: Fixture) {
    let (job, _) = fixture.failed_job().await;
    let running = fixture.job_with_task().await.0;
    assert!(!fixture.store.replay("key_2", &job).await.unwrap());
    assert!(!fixture.store.replay(TENANT, &running).await.unwrap());
    assert!(!fixture.store.replay(TENANT, &JobId::generate()).await.unwrap());
    assert!(fixture.store.replay(TENANT, &job).await.unwrap());
    assert!(!fixture.store.replay(TENANT, &job).await.unwrap());
}

async fn a_job_whose_files_were_not_to_be_kept_is_not_replayed(fixture: Fixture) {
    let parameters = JobParameters { retention: Retention::None, ..JobParameters::default() };
    let job = fixture.create(NewJob { parameters, ..new_job() }).await.id;
    let error = JobError { code: "unsupported_audio".into(), message: "no sound in it".into(), stage: None };
    fixture.apply(&job, &[Change::Job { status: JobStatus::Failed, error: Some(error.clone()) }]).await;
    assert!(!fixture.store.replay(TENANT, &job).await.unwrap());
    let kept = fixture.record(&job).await;
    assert_eq!((kept.status, kept.error), (JobStatus::Failed, Some(error)), "what was wrong is still told");
}

async fn what_is_given_back_ends_once_cancelled(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.cancel(TENANT, &job).await.unwrap();
    fixture.published().await;
    assert!(fixture.store.give_back(&task, 1).await.unwrap());
    assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Cancelled);
    assert_eq!(fixture.published().await, [Outgoing::Job(job)], "so that the job can end");
}

async fn a_zombie_of_the_first_try_is_no_part_of_the_replay(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["bad", "slow"]).await;
    let zombie = fixture.start(&tasks[1]).await.task.attempt;
    fixture.start(&tasks[0]).await;
    fixture.store.fail(&tasks[0], 1, &for_good()).await.unwrap();
    fixture.set(&job, JobStatus::Failed).await;
    fixture.store.replay(TENANT, &job).await.unwrap();
    fixture.apply(&job, &[ready(&tasks[1])]).await;
    assert!(!fixture.store.commit(&tasks[1], zombie, "zombie").await.unwrap());
    let heir = fixture.start(&tasks[1]).await.task;
    assert!(heir.attempt > zombie && heir.crashes == 0);
    assert!(!fixture.store.commit(&tasks[1], zombie, "zombie").await.unwrap());
    assert!(fixture.store.commit(&tasks[1], heir.attempt, "heir").await.unwrap());
}

async fn only_what_has_ended_is_deleted(fixture: Fixture) {
    let (job, task) = fixture.failed_job().await;
    let running = fixture.job_with_task().await.0;
    assert_eq!(fixture.store.delete(TENANT, &running).await.unwrap(), Deleted::NotTerminal);
    assert_eq!(fixture.store.delete("key_2", &job).await.unwrap(), Deleted::NotFound);
    assert_eq!(fixture.store.delete(TENANT, &job).await.unwrap(), Deleted::Yes);
    assert_eq!(fixture.store.delete(TENANT, &job).await.unwrap(), Deleted::NotFound);
    assert_eq!(fixture.store.load(&job).await.unwrap(), None);
    assert_eq!(fixture.store.tasks(&job).await.unwrap(), []);
    assert_eq!(fixture.store.progress(&task, 1, 0.5).await.unwrap(), Standing::Lost);
    assert_eq!(fixture.store.start(&task, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    assert_eq!(fixture.status(&running).await, JobStatus::Pending);
}

async fn what_expired_is_told(fixture: Fixture) {
    let now = SystemTime::now();
    let ago = |seconds| Some(now - Duration::from_secs(seconds));
    let mut jobs = Vec::new();
    for expires in [ago(10), ago(20), Some(now + Duration::from_secs(10)), None] {
        let (job, _) = fixture.failed_job().await;
        fixture.apply(&job, &[Change::Expires(expires)]).await;
        jobs.push(job);
    }
    let running = fixture.job().await.id;
    fixture.apply(&running, &[Change::Expires(ago(30))]).await;
    let of = |i: usize| (TENANT.to_owned(), jobs[i].clone());
    assert_eq!(fixture.store.expired(now, 10).await.unwrap(), [of(1), of(0)], "longest due first");
    assert_eq!(fixture.store.expired(now, 1).await.unwrap(), [of(1)]);
    fixture.store.delete(TENANT, &jobs[1]).await.unwrap();
    assert_eq!(fixture.store.expired(now, 10).await.unwrap(), [of(0)]);
}
