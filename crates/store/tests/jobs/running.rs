//! Tasks in the hands of runners.

use std::{
    slice::from_ref,
    time::{Duration, SystemTime},
};

use dalston_protocol::{
    TaskId,
    job::{JobStatus, TaskStatus},
};
use dalston_store::{Change, Outgoing, PutOff, Standing, Started, TaskFailure, Work, jobs::MAX_CRASHES};
use futures_util::future::join_all;

use crate::{
    fixture::{Fixture, REDELIVERED, RUNNER, TENANT, for_good, new_task, passing, ready},
    of_both_databases,
};

of_both_databases!(
    a_runner_is_given_all_it_needs,
    a_task_starts_only_when_it_is_ready,
    a_message_that_comes_twice_takes_no_task_from_a_runner,
    what_was_not_heard_of_is_given_out_again,
    a_delayed_task_is_not_given_out_early,
    zombie_commit_is_refused,
    zombie_failure_is_refused,
    of_commits_at_once_one_counts,
    what_was_begun_is_committed_whatever_else_happened_to_the_job,
    of_runners_at_once_the_last_has_the_task,
    crashes_are_counted_apart_from_failures,
    poison_fails_the_task,
    ten_restarts_of_a_server_poison_no_task,
    what_only_ran_beside_poison_ends_well,
    what_waits_in_its_queue_is_not_given_out_again,
    what_is_put_off_has_not_failed,
    what_is_put_off_is_so_for_a_bounded_time,
    retries_are_bounded_and_delayed,
    what_would_fail_again_is_not_tried_again,
    progress_is_kept_and_keeps_the_job_from_being_taken_for_forgotten,
    what_ended_has_its_job_looked_at,
);

async fn a_runner_is_given_all_it_needs(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["prepare", "other"]).await;
    let work = fixture.start(&tasks[0]).await;
    assert_eq!(work.task, fixture.task(&job, &tasks[0]).await);
    assert_eq!((work.task.attempt, work.task.runner.as_deref()), (1, Some(RUNNER)));
    assert_eq!(work.job, fixture.record(&job).await);
    assert_eq!((work.job.status, work.job.started_at), (JobStatus::Running, work.task.started_at));
    assert_eq!(work.dependencies, []);

    assert!(fixture.store.commit(&tasks[0], 1, "jobs/1/prepare/1/output.json").await.unwrap());
    let next = new_task("align", &["prepare"]);
    let id = next.id.clone();
    fixture.apply(&job, &[Change::Insert(next), ready(&id)]).await;
    let work = fixture.start(&id).await;
    assert_eq!(work.dependencies, [fixture.task(&job, &tasks[0]).await]);
    assert_eq!(work.dependencies[0].output.as_deref(), Some("jobs/1/prepare/1/output.json"));
}

async fn what_was_begun_is_committed_whatever_else_happened_to_the_job(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["alone", "beside", "lost"]).await;
    let commit = async |work: &Work| fixture.store.commit_begun(&work.task, &work.job, "out").await.unwrap();
    let alone = fixture.start(&tasks[0]).await;
    assert!(commit(&alone).await && !commit(&alone).await, "once");
    let kept = fixture.task(&job, &tasks[0]).await;
    assert_eq!((kept.status, kept.output.as_deref(), kept.progress), (TaskStatus::Completed, Some("out"), 1.0));

    let (beside, lost) = (fixture.start(&tasks[1]).await, fixture.start(&tasks[2]).await);
    assert!(commit(&beside).await, "another task began since");
    let heir = fixture.restart(&tasks[2]).await;
    assert!(!commit(&lost).await, "another has it");
    fixture.store.cancel(TENANT, &job).await.unwrap();
    assert!(commit(&heir).await, "it was done before anybody could stop it");
    assert_eq!(fixture.status(&job).await, JobStatus::Cancelling, "that is for whoever looks at the job");
}

async fn a_task_starts_only_when_it_is_ready(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let later = new_task("align", &["prepare"]);
    let later_id = later.id.clone();
    fixture.apply(&job, &[Change::Insert(later)]).await;
    fixture.start(&task).await;
    fixture.store.commit(&task, 1, "out").await.unwrap();
    let before = fixture.store.load(&job).await.unwrap();
    for stale in [later_id, task, TaskId::generate()] {
        assert_eq!(fixture.store.start(&stale, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    }
    assert_eq!(fixture.store.load(&job).await.unwrap(), before, "nothing of it is left");
}

async fn a_message_that_comes_twice_takes_no_task_from_a_runner(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    let before = fixture.store.load(&job).await.unwrap();
    assert_eq!(fixture.store.start(&task, "runner-2", false).await.unwrap(), Started::Stale);
    assert_eq!(fixture.store.load(&job).await.unwrap(), before);
    assert!(fixture.store.commit(&task, 1, "out").await.unwrap());
}

async fn what_was_not_heard_of_is_given_out_again(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["waits", "quiet", "heard of", "done"]).await;
    for task in &tasks[1..] {
        fixture.start(task).await;
    }
    fixture.store.commit(&tasks[3], 1, "out").await.unwrap();
    tokio::time::sleep_until(later()).await;
    let since = SystemTime::now();
    tokio::time::sleep_until(later()).await;
    fixture.store.progress(&tasks[2], 1, 0.5).await.unwrap();
    fixture.published().await;

    fixture.store.dispatch_again(&job, since, |_, _| true).await.unwrap();
    let published = fixture.published().await;
    let of_task = |message: &Outgoing| match message {
        Outgoing::Task { task, .. } => Some(task.clone()),
        Outgoing::Job(_) => None,
    };
    let given: Vec<_> = published.iter().filter_map(of_task).collect();
    assert_eq!(given, tasks[..2]);
    assert_eq!(published.last(), Some(&Outgoing::Job(job.clone())));
    assert!(!fixture.store.commit(&tasks[1], 1, "zombie").await.unwrap(), "it was taken back");
    assert_eq!(fixture.store.progress(&tasks[1], 1, 0.5).await.unwrap(), Standing::Lost);
    let heir = fixture.start(&tasks[1]).await.task;
    assert_eq!((heir.attempt, heir.crashes, heir.failures), (2, 1, 0));
    assert!(fixture.store.commit(&tasks[2], 1, "out").await.unwrap(), "this one was heard of");

    // A runner that is lost each time is no reason to go on for ever.
    for _ in 0..MAX_CRASHES {
        fixture.store.dispatch_again(&job, SystemTime::now() + Duration::from_secs(1), |_, _| true).await.unwrap();
        drop(fixture.store.start(&tasks[1], RUNNER, false).await.unwrap());
    }
    let kept = fixture.task(&job, &tasks[1]).await;
    assert_eq!((kept.status, kept.error.unwrap().code.as_str()), (TaskStatus::Failed, "poison"));

    // A job that is being cancelled gets rid of it.
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.cancel(TENANT, &job).await.unwrap();
    fixture.published().await;
    fixture.store.dispatch_again(&job, SystemTime::now() + Duration::from_secs(1), |_, _| true).await.unwrap();
    assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Cancelled);
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
}

async fn a_delayed_task_is_not_given_out_early(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.store.fail(&task, 1, &passing()).await.unwrap();
    fixture.published().await;
    fixture.store.dispatch_again(&job, SystemTime::now(), |_, _| true).await.unwrap();
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
}

async fn zombie_commit_is_refused(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let zombie = fixture.start(&task).await.task.attempt;
    let heir = fixture.restart(&task).await.task.attempt;
    assert!(heir > zombie);
    assert_eq!(fixture.store.progress(&task, zombie, 0.9).await.unwrap(), Standing::Lost);
    assert!(!fixture.store.commit(&task, zombie, "zombie").await.unwrap());
    assert_eq!(fixture.store.progress(&task, heir, 0.1).await.unwrap(), Standing::Yours);
    assert!(fixture.store.commit(&task, heir, "heir").await.unwrap());
    assert!(!fixture.store.commit(&task, heir, "again").await.unwrap(), "committed once");
    assert!(!fixture.store.commit(&task, heir + 1, "future").await.unwrap());
    assert_eq!(fixture.store.progress(&task, heir, 0.1).await.unwrap(), Standing::Lost);
    let kept = fixture.task(&job, &task).await;
    assert_eq!((kept.status, kept.output.as_deref(), kept.progress), (TaskStatus::Completed, Some("heir"), 1.0));
}

async fn zombie_failure_is_refused(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let zombie = fixture.start(&task).await.task.attempt;
    fixture.restart(&task).await;
    assert!(!fixture.store.fail(&task, zombie, &for_good()).await.unwrap());
    let kept = fixture.task(&job, &task).await;
    assert_eq!((kept.status, kept.failures, kept.error), (TaskStatus::Running, 0, None));
}

async fn of_commits_at_once_one_counts(fixture: Fixture) {
    let (_, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    fixture.published().await;
    let commits = (0..8).map(|_| {
        let (store, task) = (fixture.store.clone(), task.clone());
        tokio::spawn(async move { store.commit(&task, 1, "out").await.unwrap() })
    });
    let counted = join_all(commits).await.into_iter().filter(|committed| *committed.as_ref().unwrap()).count();
    assert_eq!(counted, 1);
    assert_eq!(fixture.published().await.len(), 1);
}

async fn of_runners_at_once_the_last_has_the_task(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let other = fixture.other_process().await;
    let starts = [&fixture.store, &other, &fixture.store].map(|store| {
        let (store, task) = (store.clone(), task.clone());
        tokio::spawn(async move { store.start(&task, RUNNER, REDELIVERED).await.unwrap() })
    });
    let mut attempts = Vec::new();
    for started in join_all(starts).await {
        match started.unwrap() {
            Started::Run(work) => attempts.push(work.task.attempt),
            other => panic!("{other:?}"),
        }
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 3], "a token of its own for each");
    for (attempt, is_last) in [(1, false), (2, false), (3, true)] {
        assert_eq!(fixture.store.commit(&task, attempt, "out").await.unwrap(), is_last);
    }
    assert_eq!(fixture.task(&job, &task).await.crashes, 2);
}

async fn crashes_are_counted_apart_from_failures(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    let second = fixture.restart(&task).await.task;
    assert_eq!((second.attempt, second.failures, second.crashes), (2, 0, 1));
    assert!(fixture.store.fail(&task, 2, &passing()).await.unwrap());
    let third = fixture.start(&task).await.task;
    assert_eq!((third.attempt, third.failures, third.crashes), (3, 1, 1), "that one came from a runner that lives");
    assert_eq!(third, fixture.task(&job, &task).await);
}

async fn poison_fails_the_task(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    for attempt in 1..=MAX_CRASHES + 1 {
        assert_eq!(fixture.restart(&task).await.task.attempt, attempt);
    }
    fixture.published().await;
    assert_eq!(fixture.store.start(&task, RUNNER, REDELIVERED).await.unwrap(), Started::Poisoned);
    let kept = fixture.task(&job, &task).await;
    assert_eq!((kept.status, kept.crashes, kept.failures), (TaskStatus::Failed, MAX_CRASHES + 1, 0));
    assert_eq!(kept.error.unwrap().code, "poison");
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
    assert_eq!(fixture.store.start(&task, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    assert!(!fixture.store.commit(&task, MAX_CRASHES + 1, "late").await.unwrap());
}

async fn ten_restarts_of_a_server_poison_no_task(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    for restarts in 1..=10 {
        assert_eq!(fixture.restart(&task).await.task.crashes, restarts);
    }
    assert!(fixture.store.commit(&task, 11, "out").await.unwrap());
    assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Completed);
}

async fn what_only_ran_beside_poison_ends_well(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["poison", "innocent"]).await;
    let (poison, innocent) = (&tasks[0], &tasks[1]);
    fixture.start(innocent).await;
    fixture.start(poison).await;
    for _ in 0..2 {
        fixture.restart(poison).await;
        fixture.restart(innocent).await;
    }
    fixture.restart(poison).await;
    // Both are suspects now. One runs, so the other waits, and comes again by itself.
    fixture.published().await;
    assert_eq!(fixture.store.start(innocent, RUNNER, REDELIVERED).await.unwrap(), Started::Stale);
    assert_eq!(fixture.published().await, [], "in a moment");
    fixture.pass_time().await;
    assert!(matches!(&fixture.published().await[..], [Outgoing::Task { task, .. }] if task == innocent));
    let mut deaths = 3;
    while fixture.store.start(poison, RUNNER, REDELIVERED).await.unwrap() != Started::Poisoned {
        assert_eq!(fixture.store.start(innocent, RUNNER, false).await.unwrap(), Started::Stale);
        deaths += 1;
    }
    assert_eq!(deaths, MAX_CRASHES);
    let heir = fixture.start(innocent).await.task;
    assert_eq!(heir.crashes, 3, "as often as it ran beside it");
    assert!(fixture.store.commit(innocent, heir.attempt, "out").await.unwrap());
    assert_eq!(fixture.task(&job, poison).await.status, TaskStatus::Failed);
}

async fn what_waits_in_its_queue_is_not_given_out_again(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.published().await;
    let later = SystemTime::now() + Duration::from_secs(1);
    let asked = |queue: &str, given_out: SystemTime| {
        assert_eq!(queue, "engine.prepare-engine");
        given_out < SystemTime::now() - Duration::from_secs(60)
    };
    for _ in 0..3 {
        assert_eq!(fixture.store.dispatch_again(&job, later, asked).await.unwrap(), []);
        assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())]);
    }
    // Once it is given out again, that counts.
    let since = SystemTime::now() - Duration::from_millis(1);
    fixture.execute("UPDATE tasks SET ready_at = 0").await;
    fixture.store.dispatch_again(&job, since, |_, given_out| given_out == SystemTime::UNIX_EPOCH).await.unwrap();
    let published = fixture.published().await;
    assert!(matches!(&published[0], Outgoing::Task { task: again, .. } if *again == task), "{published:?}");
    fixture.store.dispatch_again(&job, since, |_, _| true).await.unwrap();
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
}

async fn what_is_put_off_has_not_failed(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.published().await;
    let full = TaskFailure { code: "storage_full".into(), message: "a disk is full".into(), retryable: true };
    let mut shortest = Duration::from_secs(15);
    for times in 1..=4 {
        let attempt = fixture.start(&task).await.task.attempt;
        assert_eq!(attempt, times);
        let before = SystemTime::now();
        assert_eq!(fixture.store.put_off(&task, attempt, &full).await.unwrap(), PutOff::Yes);
        assert_eq!(fixture.store.put_off(&task, attempt, &full).await.unwrap(), PutOff::Lost);
        let kept = fixture.task(&job, &task).await;
        assert_eq!((kept.status, kept.failures, kept.crashes), (TaskStatus::Ready, 0, 0));
        assert_eq!(kept.error.unwrap().code, "storage_full");
        let delay = kept.ready_at.unwrap().duration_since(before).unwrap() + Duration::from_millis(1);
        assert!(delay >= shortest, "{delay:?} for the {times}th time");
        shortest *= 2;
        assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())], "the task itself is not due");
        fixture.pass_time().await;
        assert!(matches!(&fixture.published().await[..], [Outgoing::Task { task: due, .. }] if *due == task));
    }
    let attempt = fixture.start(&task).await.task.attempt;
    assert!(fixture.store.commit(&task, attempt, "out").await.unwrap());
}

async fn what_is_put_off_is_so_for_a_bounded_time(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    let attempt = fixture.start(&task).await.task.attempt;
    fixture.execute("UPDATE tasks SET put_off = 60").await;
    let before = fixture.store.load(&job).await.unwrap();
    assert_eq!(fixture.store.put_off(&task, attempt, &passing()).await.unwrap(), PutOff::TooOften);
    assert_eq!(fixture.store.load(&job).await.unwrap(), before, "it is for the caller to fail it");
    assert!(fixture.store.fail(&task, attempt, &for_good()).await.unwrap());
    fixture.set(&job, JobStatus::Failed).await;
    assert!(fixture.store.replay(TENANT, &job).await.unwrap());
    let again = fixture.start(&task).await.task.attempt;
    assert_eq!(fixture.store.put_off(&task, again, &passing()).await.unwrap(), PutOff::Yes, "with all its patience");
}

async fn retries_are_bounded_and_delayed(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.published().await;
    for (failures, shortest, longest) in [(1, 1_000, 3_000), (2, 2_000, 6_000)] {
        let attempt = fixture.start(&task).await.task.attempt;
        let before = SystemTime::now();
        assert!(fixture.store.fail(&task, attempt, &passing()).await.unwrap());
        let kept = fixture.task(&job, &task).await;
        assert_eq!((kept.status, kept.failures, kept.ended_at), (TaskStatus::Ready, failures, None));
        assert_eq!(kept.error.as_ref().map(|error| error.message.as_str()), Some("no memory"));
        // Millisecond clocks on both sides.
        let delay = kept.ready_at.unwrap().duration_since(before).unwrap() + Duration::from_millis(1);
        assert!(delay >= Duration::from_millis(shortest), "{delay:?}");
        assert!(kept.ready_at.unwrap() < SystemTime::now() + Duration::from_millis(longest), "{delay:?}");
        assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())], "the task itself is not due");
        fixture.pass_time().await;
        let due = fixture.published().await;
        assert!(matches!(&due[..], [Outgoing::Task { task: due, .. }] if *due == task), "{due:?}");
    }
    let attempt = fixture.start(&task).await.task.attempt;
    assert!(fixture.store.fail(&task, attempt, &passing()).await.unwrap());
    let kept = fixture.task(&job, &task).await;
    assert_eq!((kept.status, kept.failures), (TaskStatus::Failed, 3), "its `max_attempts`");
    fixture.pass_time().await;
    assert_eq!(fixture.published().await, [Outgoing::Job(job)]);
}

async fn what_would_fail_again_is_not_tried_again(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    let failure = TaskFailure { message: "no sound; \u{1f507} \"'--".into(), ..for_good() };
    assert!(fixture.store.fail(&task, 1, &failure).await.unwrap());
    let kept = fixture.task(&job, &task).await;
    assert_eq!((kept.status, kept.failures), (TaskStatus::Failed, 1));
    let error = kept.error.unwrap();
    assert_eq!((error.code, error.message, error.stage), (failure.code, failure.message, Some("prepare".into())));
    assert!(kept.ended_at.is_some());
}

async fn progress_is_kept_and_keeps_the_job_from_being_taken_for_forgotten(fixture: Fixture) {
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    let now = SystemTime::now() + Duration::from_millis(1);
    assert_eq!(fixture.store.open_jobs(now, 10).await.unwrap(), from_ref(&job));
    tokio::time::sleep_until(later()).await;
    assert_eq!(fixture.store.progress(&task, 1, 0.5).await.unwrap(), Standing::Yours);
    assert_eq!(fixture.store.open_jobs(now, 10).await.unwrap(), []);
    assert_eq!(fixture.task(&job, &task).await.progress, 0.5);
    for (told, kept) in [(7.0, 1.0), (-1.0, 0.0), (f64::INFINITY, 1.0), (f64::NAN, 0.0)] {
        fixture.store.progress(&task, 1, told).await.unwrap();
        assert_eq!(fixture.task(&job, &task).await.progress, kept);
    }
}

/// When the store's clock, which counts milliseconds, surely shows another time.
fn later() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(5)
}

async fn what_ended_has_its_job_looked_at(fixture: Fixture) {
    let (job, tasks) = fixture.job_with(&["a", "b"]).await;
    for task in &tasks {
        fixture.start(task).await;
    }
    fixture.published().await;
    fixture.store.commit(&tasks[0], 1, "out").await.unwrap();
    assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())]);
    fixture.store.fail(&tasks[1], 1, &for_good()).await.unwrap();
    assert_eq!(fixture.published().await, [Outgoing::Job(job.clone())]);
    assert_eq!(fixture.store.job(TENANT, &job).await.unwrap().unwrap().status, JobStatus::Running, "not decided yet");
}
