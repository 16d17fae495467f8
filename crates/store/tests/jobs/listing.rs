//! Finding jobs again.

use std::{
    collections::BTreeSet,
    slice::from_ref,
    time::{Duration, SystemTime},
};

use dalston_protocol::{JobId, job::JobStatus};
use dalston_store::{Created, Deleted, ListQuery, NewJob, StoreError};

use crate::{
    fixture::{Fixture, TENANT, new_job},
    of_both_databases,
};

of_both_databases!(
    cursor_pages_neither_repeat_nor_skip_while_jobs_are_added,
    lists_are_narrowed_by_status_and_time,
    what_failed_for_good_is_told_page_by_page,
    a_cursor_that_no_page_gave_is_refused,
    tenants_do_not_see_each_other,
    a_job_is_renamed,
    open_jobs_are_told_longest_untouched_first,
);

fn page(limit: u32, cursor: Option<String>) -> ListQuery {
    ListQuery { limit, cursor, ..Default::default() }
}

async fn cursor_pages_neither_repeat_nor_skip_while_jobs_are_added(fixture: Fixture) {
    let mut there = Vec::new();
    for _ in 0..23 {
        there.push(fixture.job().await.id);
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let listed = fixture.store.list(TENANT, page(5, cursor)).await.unwrap();
        assert!(listed.jobs.len() <= 5);
        seen.extend(listed.jobs.into_iter().map(|job| job.id));
        cursor = listed.next_cursor;
        if cursor.is_none() {
            break;
        }
        // One is added, one that was seen goes.
        fixture.job().await;
        let gone = &seen[seen.len() - 1];
        fixture.store.cancel(TENANT, gone).await.unwrap();
        assert_eq!(fixture.store.delete(TENANT, gone).await.unwrap(), Deleted::Yes);
    }
    there.reverse();
    assert_eq!(seen.iter().collect::<BTreeSet<_>>(), there.iter().collect(), "each once");
    assert_eq!(seen.len(), 23);
    let newest = fixture.store.list(TENANT, page(1_000, None)).await.unwrap();
    assert!(newest.jobs.is_sorted_by(|a, b| (a.created_at, &a.id) > (b.created_at, &b.id)));
    assert_eq!(newest.next_cursor, None);
}

async fn what_failed_for_good_is_told_page_by_page(fixture: Fixture) {
    let mut failed = Vec::new();
    for _ in 0..5 {
        failed.push(fixture.failed_job().await);
        fixture.job().await;
    }
    failed.reverse();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = fixture.store.dead(TENANT, 2, cursor).await.unwrap();
        assert!(page.tasks.len() <= 2);
        seen.extend(page.tasks.into_iter().map(|dead| (dead.task.job_id, dead.task.id)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, failed);
}

async fn lists_are_narrowed_by_status_and_time(fixture: Fixture) {
    let pending = fixture.job().await.id;
    let (first, _) = fixture.failed_job().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let since = SystemTime::now();
    let (second, _) = fixture.failed_job().await;
    let ids = async |status, since, limit| {
        let query = ListQuery { status, since, limit, cursor: None };
        let page = fixture.store.list(TENANT, query).await.unwrap();
        page.jobs.into_iter().map(|job| job.id).collect::<Vec<JobId>>()
    };
    let failed = Some(JobStatus::Failed);
    assert_eq!(ids(None, None, 10).await, [second.clone(), first.clone(), pending.clone()]);
    assert_eq!(ids(failed, None, 10).await, [second.clone(), first.clone()]);
    assert_eq!(ids(Some(JobStatus::Pending), None, 10).await, [pending]);
    assert_eq!(ids(None, Some(since), 10).await, from_ref(&second));
    assert_eq!(ids(failed, Some(since), 10).await, from_ref(&second));
    assert_eq!(ids(None, None, 0).await, from_ref(&second), "at least one");

    let query = ListQuery { status: failed, limit: 1, ..Default::default() };
    let page = fixture.store.list(TENANT, query.clone()).await.unwrap();
    assert_eq!(page.jobs[0].id, second);
    let page = fixture.store.list(TENANT, ListQuery { cursor: page.next_cursor, ..query }).await.unwrap();
    assert_eq!((page.jobs[0].id.clone(), page.next_cursor), (first, None));
}

async fn a_cursor_that_no_page_gave_is_refused(fixture: Fixture) {
    let error = fixture.store.list(TENANT, page(5, Some("' OR 1=1".into()))).await.unwrap_err();
    assert!(matches!(error, StoreError::InvalidCursor), "{error}");
}

async fn tenants_do_not_see_each_other(fixture: Fixture) {
    let (job, _) = fixture.failed_job().await;
    let Created::New(other) = fixture.store.create(NewJob { tenant: "key_2".into(), ..new_job() }).await.unwrap()
    else {
        panic!("it is new");
    };
    let before = fixture.store.load(&job).await.unwrap();
    let store = &fixture.store;
    assert_eq!(store.job("key_2", &job).await.unwrap(), None);
    assert_eq!(store.list("key_2", page(10, None)).await.unwrap().jobs, [other]);
    assert_eq!(store.dead("key_2", 10, None).await.unwrap().tasks, []);
    assert_eq!(store.cancel("key_2", &job).await.unwrap(), None);
    assert!(!store.rename("key_2", &job, Some("mine")).await.unwrap());
    assert!(!store.replay("key_2", &job).await.unwrap());
    assert_eq!(store.delete("key_2", &job).await.unwrap(), Deleted::NotFound);
    assert_eq!(store.load(&job).await.unwrap(), before);
}

async fn a_job_is_renamed(fixture: Fixture) {
    let job = fixture.job().await;
    for name in [Some("Robert'); DROP TABLE jobs;--"), None] {
        assert!(fixture.store.rename(TENANT, &job.id, name).await.unwrap());
        assert_eq!(fixture.record(&job.id).await.name.as_deref(), name);
    }
    assert_eq!(fixture.record(&job.id).await.version, job.version, "no planner needs to know");
    assert!(!fixture.store.rename(TENANT, &JobId::generate(), None).await.unwrap());
}

async fn open_jobs_are_told_longest_untouched_first(fixture: Fixture) {
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(fixture.job().await.id);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let now = SystemTime::now();
    assert_eq!(fixture.store.open_jobs(now, 10).await.unwrap(), jobs);
    assert_eq!(fixture.store.open_jobs(now, 2).await.unwrap(), jobs[..2]);
    assert_eq!(fixture.store.open_jobs(now - Duration::from_secs(60), 10).await.unwrap(), []);
    fixture.set(&jobs[0], JobStatus::Running).await;
    fixture.store.cancel(TENANT, &jobs[1]).await.unwrap();
    let now = SystemTime::now() + Duration::from_millis(1);
    assert_eq!(fixture.store.open_jobs(now, 10).await.unwrap(), [jobs[2].clone(), jobs[0].clone()]);
}
