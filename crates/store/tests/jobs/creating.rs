//! Taking jobs in, and the outbox.

use dalston_protocol::{JobId, job::JobStatus};
use dalston_store::{Created, NewJob, Outgoing};
use futures_util::future::join_all;

use crate::{
    fixture::{Fixture, TENANT, new_job, with_key},
    of_both_databases,
};

of_both_databases!(
    a_job_comes_back_as_it_was_given,
    a_job_and_its_outbox_row_appear_together,
    the_same_key_gives_the_same_job,
    another_request_with_the_same_key_is_refused,
    tenants_may_use_the_same_key,
    of_requests_at_once_one_makes_the_job,
    outbox_rows_survive_until_they_are_marked_as_sent,
    whoever_waits_for_messages_is_woken,
    the_number_of_a_message_never_comes_twice,
);

async fn a_job_comes_back_as_it_was_given(fixture: Fixture) {
    let given = with_key("k", "f");
    let created = fixture.create(given.clone()).await;
    let kept = fixture.store.job(TENANT, &given.id).await.unwrap().unwrap();
    assert_eq!(kept, created);
    assert_eq!((kept.status, kept.ended_at, kept.started_at), (JobStatus::Pending, None, None));
    let NewJob { id, tenant, name, parameters, request_id, traceparent, source, idempotency } = given;
    assert_eq!((kept.id, kept.tenant, kept.name, kept.parameters), (id, tenant, name, parameters));
    assert_eq!((kept.request_id, kept.traceparent, kept.source), (request_id, traceparent, source));
    assert_eq!(kept.idempotency, idempotency);
}

async fn a_job_and_its_outbox_row_appear_together(fixture: Fixture) {
    let store = fixture.store.clone();
    // One reads all the time, through another connection, what the other is making.
    let maker = tokio::spawn(async move {
        for _ in 0..30 {
            assert!(matches!(store.create(new_job()).await.unwrap(), Created::New(_)));
        }
    });
    let observer = fixture.other_process().await;
    let mut seen = 0;
    while seen < 30 {
        let listed = observer.list(TENANT, limit(100)).await.unwrap().jobs;
        let rows = observer.outbox(100).await.unwrap();
        for job in &listed {
            assert!(rows.iter().any(|row| row.message == Outgoing::Job(job.id.clone())), "{} alone", job.id);
        }
        seen = listed.len();
    }
    maker.await.unwrap();
    let jobs = fixture.store.list(TENANT, limit(100)).await.unwrap().jobs;
    for row in fixture.published().await {
        assert!(jobs.iter().any(|job| row == Outgoing::Job(job.id.clone())));
    }
}

fn limit(limit: u32) -> dalston_store::ListQuery {
    dalston_store::ListQuery { limit, ..Default::default() }
}

async fn the_same_key_gives_the_same_job(fixture: Fixture) {
    let first = fixture.create(with_key("k", "f")).await;
    fixture.published().await;
    assert_eq!(fixture.store.create(with_key("k", "f")).await.unwrap(), Created::Existing(first.clone()));
    assert_eq!(fixture.published().await, [], "nothing is new");
    assert_eq!(fixture.record(&first.id).await, first, "not even its version");
}

async fn another_request_with_the_same_key_is_refused(fixture: Fixture) {
    let first = fixture.create(with_key("k", "f")).await;
    fixture.published().await;
    assert_eq!(fixture.store.create(with_key("k", "g")).await.unwrap(), Created::Conflict);
    assert_eq!(fixture.published().await, []);
    assert_eq!(fixture.store.list(TENANT, limit(10)).await.unwrap().jobs, [first]);
}

async fn tenants_may_use_the_same_key(fixture: Fixture) {
    fixture.create(with_key("k", "f")).await;
    fixture.create(NewJob { tenant: "key_2".into(), ..with_key("k", "g") }).await;
    // And without a key, equal requests are two.
    fixture.create(new_job()).await;
    fixture.create(new_job()).await;
}

async fn of_requests_at_once_one_makes_the_job(fixture: Fixture) {
    let stores = [fixture.store.clone(), fixture.other_process().await];
    for key in (0..20).map(|round| format!("k{round}")) {
        let requests = (0..16).map(|i| {
            let (store, job) = (stores[i % 2].clone(), with_key(&key, "f"));
            tokio::spawn(async move { store.create(job).await.unwrap() })
        });
        let (mut made, mut found): (Vec<JobId>, Vec<JobId>) = Default::default();
        for created in join_all(requests).await {
            match created.unwrap() {
                Created::New(job) => made.push(job.id),
                Created::Existing(job) => found.push(job.id),
                Created::Conflict => panic!("equal requests"),
            }
        }
        assert_eq!((made.len(), found.len()), (1, 15));
        assert!(found.iter().all(|id| *id == made[0]));
        assert_eq!(fixture.published().await, [Outgoing::Job(made.remove(0))]);
    }
}

async fn outbox_rows_survive_until_they_are_marked_as_sent(fixture: Fixture) {
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(Outgoing::Job(fixture.job().await.id));
    }
    let rows = fixture.store.outbox(2).await.unwrap();
    let messages: Vec<_> = rows.iter().map(|row| row.message.clone()).collect();
    assert_eq!(messages, jobs[..2], "oldest first, and no more than asked for");
    assert_eq!(fixture.other_process().await.outbox(2).await.unwrap(), rows, "nobody published them");
    fixture.store.outbox_sent(&[rows[0].seq]).await.unwrap();
    fixture.store.outbox_sent(&[rows[0].seq]).await.unwrap();
    fixture.store.outbox_sent(&[]).await.unwrap();
    assert_eq!(fixture.published().await, jobs[1..]);
    assert_eq!(fixture.store.outbox(10).await.unwrap(), []);
}

async fn whoever_waits_for_messages_is_woken(fixture: Fixture) {
    let mut changed = fixture.store.changed();
    assert!(!changed.has_changed().unwrap());
    fixture.job().await;
    changed.changed().await.unwrap();
    assert_eq!(fixture.store.outbox(10).await.unwrap().len(), 1, "not before it can be read");
    fixture.create(with_key("k", "f")).await;
    changed.mark_unchanged();
    fixture.store.create(with_key("k", "f")).await.unwrap();
    assert!(!changed.has_changed().unwrap(), "there is nothing to publish");
}

async fn the_number_of_a_message_never_comes_twice(fixture: Fixture) {
    fixture.job().await;
    let first = fixture.store.outbox(1).await.unwrap()[0].seq;
    fixture.store.outbox_sent(&[first]).await.unwrap();
    fixture.job().await;
    // A relay that was slow marks the first once more.
    fixture.store.outbox_sent(&[first]).await.unwrap();
    assert_eq!(fixture.store.outbox(10).await.unwrap().len(), 1);
}
