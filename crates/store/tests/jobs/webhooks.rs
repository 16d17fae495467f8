//! Who is told of jobs' ends, and what is still to be told.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    JobId, WebhookEvent, WebhookId, WebhookMessage,
    job::{JobError, JobStatus},
};
use dalston_store::{Change, Delivery, JobRecord, MAX_WEBHOOKS, NewWebhook, Settled, SigningSecret};

use crate::{
    fixture::{Fixture, TENANT},
    of_both_databases,
};

of_both_databases!(
    each_end_is_told_once_to_each_who_wants_to_know,
    nothing_is_told_before_the_job_has_ended_nor_of_a_change_that_was_not_made,
    what_is_taken_is_nobody_elses_until_its_lease_ends,
    only_who_has_it_settles_it,
    what_is_tried_again_is_the_same_message,
    who_is_gone_is_told_nothing_more,
    a_busy_webhook_does_not_hold_up_the_others,
    tenants_see_their_own_webhooks_and_so_many_of_them,
    a_secret_that_was_replaced_signs_along_for_a_while,
    what_ended_long_ago_is_forgotten,
    an_end_outlives_its_job,
    a_message_that_cannot_be_read_is_set_aside_and_others_go_on,
    what_was_left_for_one_that_wants_nothing_more_is_given_up,
    a_webhook_that_cannot_be_read_keeps_no_job_from_ending,
);

const LEASE: Duration = Duration::from_secs(60);

fn webhook(tenant: &str, events: &[WebhookEvent]) -> NewWebhook {
    let secret = SigningSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
    NewWebhook { tenant: tenant.into(), url: "https://example.org/hook".into(), events: events.into(), secret }
}

impl Fixture {
    async fn webhook(&self) -> WebhookId {
        self.store.add_webhook(webhook(TENANT, &WebhookEvent::ALL)).await.unwrap().unwrap().id
    }

    async fn due(&self) -> Vec<Delivery> {
        self.store.due_deliveries(LEASE, 100, &[]).await.unwrap()
    }

    async fn ended(&self, status: JobStatus) -> JobId {
        let job = self.job().await.id;
        if status == JobStatus::Cancelled {
            self.store.cancel(TENANT, &job).await.unwrap();
        } else {
            self.set(&job, JobStatus::Running).await;
            let error = (status == JobStatus::Failed).then(|| JobError {
                code: "poison".into(),
                message: "it said hunter2".into(),
                stage: None,
            });
            self.apply(&job, &[Change::Job { status, error }]).await;
        }
        job
    }
}

async fn each_end_is_told_once_to_each_who_wants_to_know(fixture: Fixture) {
    let all = fixture.webhook().await;
    let failures = fixture.store.add_webhook(webhook(TENANT, &[WebhookEvent::JobFailed])).await.unwrap().unwrap().id;
    fixture.store.add_webhook(webhook("another", &WebhookEvent::ALL)).await.unwrap().unwrap();
    for (status, told) in [
        (JobStatus::Completed, vec![&all]),
        (JobStatus::Failed, vec![&all, &failures]),
        (JobStatus::Cancelled, vec![&all]),
    ] {
        let job = fixture.ended(status).await;
        let due = fixture.due().await;
        let mut whom: Vec<_> = due.iter().map(|delivery| &delivery.webhook).collect();
        whom.sort();
        assert_eq!(whom, told, "{status}");
        for delivery in &due {
            let message: WebhookMessage = serde_json::from_str(&delivery.body).unwrap();
            assert_eq!((Some(message.event), &message.data.id), (WebhookEvent::of(status), &job));
            assert_eq!((message.data.status, delivery.attempt), (status, 1));
            assert_eq!(message.data.error_code.is_some(), status == JobStatus::Failed);
            assert!(
                !delivery.body.contains("hunter2"),
                "what went wrong is for who may read the job: {}",
                delivery.body
            );
            assert_eq!(delivery.request_id, fixture.record(&job).await.request_id);
        }
        assert!(fixture.due().await.is_empty(), "{status}: once");
    }
}

async fn nothing_is_told_before_the_job_has_ended_nor_of_a_change_that_was_not_made(fixture: Fixture) {
    fixture.webhook().await;
    let news = fixture.store.news();
    let (job, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
    assert!(fixture.due().await.is_empty());
    let completed = Change::Job { status: JobStatus::Completed, error: None };
    let (record, tasks) = fixture.store.load(&job).await.unwrap().unwrap();
    let late = JobRecord { version: record.version - 1, ..record };
    assert!(!fixture.store.apply(&late, &tasks, std::slice::from_ref(&completed)).await.unwrap());
    let wrong = [completed.clone(), Change::Job { status: JobStatus::Running, error: None }];
    fixture.try_apply(&job, &wrong).await.unwrap_err();
    assert!(fixture.due().await.is_empty() && !news.has_changed().unwrap());
    // The result in the same moment.
    fixture.apply(&job, &[Change::Result { key: "jobs/x".into() }, completed]).await;
    assert!(news.has_changed().unwrap());
    assert_eq!(fixture.due().await.len(), 1);
    assert!(fixture.record(&job).await.result.is_some());
}

async fn what_is_taken_is_nobody_elses_until_its_lease_ends(fixture: Fixture) {
    fixture.webhook().await;
    for _ in 0..8 {
        fixture.ended(JobStatus::Completed).await;
    }
    // Side by side, each gets what no other has.
    let other = fixture.other_process().await;
    let (mine, theirs) = tokio::join!(fixture.store.due_deliveries(LEASE, 8, &[]), other.due_deliveries(LEASE, 8, &[]));
    let mut ids: Vec<_> = mine.unwrap().into_iter().chain(theirs.unwrap()).map(|delivery| delivery.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
    // Whoever took it and died: it is due again, with the same id.
    fixture.ended(JobStatus::Completed).await;
    let taken = fixture.store.due_deliveries(Duration::ZERO, 8, &[]).await.unwrap();
    let again = fixture.due().await;
    assert_eq!((again.len(), &again[0].id, again[0].attempt), (1, &taken[0].id, 2));
}

async fn only_who_has_it_settles_it(fixture: Fixture) {
    fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    let zombie = fixture.store.due_deliveries(Duration::ZERO, 1, &[]).await.unwrap().remove(0);
    let taken = fixture.due().await.remove(0);
    assert!(!fixture.store.settle(&zombie, None, Some("timeout"), Settled::Dead).await.unwrap());
    assert!(fixture.store.settle(&taken, Some(204), None, Settled::Delivered).await.unwrap());
    assert!(!fixture.store.settle(&taken, Some(500), None, Settled::Again(SystemTime::now())).await.unwrap(), "final");
    assert!(fixture.due().await.is_empty());
}

async fn what_is_tried_again_is_the_same_message(fixture: Fixture) {
    fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    let first = fixture.due().await.remove(0);
    let later = SystemTime::now() + LEASE;
    assert!(fixture.store.settle(&first, Some(500), None, Settled::Again(later)).await.unwrap());
    assert!(fixture.due().await.is_empty(), "not yet");
    fixture.ended(JobStatus::Completed).await;
    let second = fixture.due().await.remove(0);
    assert!(fixture.store.settle(&second, None, Some("timeout"), Settled::Again(SystemTime::now())).await.unwrap());
    let again = fixture.due().await.remove(0);
    assert_eq!((&again.id, &again.body, again.attempt), (&second.id, &second.body, 2));
    assert!(again.id != first.id);
}

async fn who_is_gone_is_told_nothing_more(fixture: Fixture) {
    let gone = fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    let delivery = fixture.due().await.remove(0);
    fixture.ended(JobStatus::Completed).await;
    assert!(fixture.store.settle(&delivery, Some(410), None, Settled::Gone).await.unwrap());
    assert!(fixture.due().await.is_empty(), "what waited is given up");
    fixture.ended(JobStatus::Completed).await;
    assert!(fixture.due().await.is_empty());
    let kept = fixture.store.webhooks(TENANT).await.unwrap();
    assert!(kept[0].id == gone && kept[0].disabled_at.is_some());
    // Removed, it takes what it was still to be told with it.
    let removed = fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    assert!(fixture.store.remove_webhook(TENANT, &removed).await.unwrap());
    assert!(fixture.due().await.is_empty());
}

async fn a_busy_webhook_does_not_hold_up_the_others(fixture: Fixture) {
    let (busy, idle) = (fixture.webhook().await, fixture.webhook().await);
    fixture.ended(JobStatus::Completed).await;
    let due = fixture.store.due_deliveries(LEASE, 1, std::slice::from_ref(&busy)).await.unwrap();
    assert_eq!(due.iter().map(|delivery| &delivery.webhook).collect::<Vec<_>>(), [&idle]);
    assert_eq!(fixture.due().await[0].webhook, busy);
}

async fn tenants_see_their_own_webhooks_and_so_many_of_them(fixture: Fixture) {
    let mut mine = Vec::new();
    for _ in 0..MAX_WEBHOOKS {
        mine.push(fixture.webhook().await);
    }
    assert!(fixture.store.add_webhook(webhook(TENANT, &WebhookEvent::ALL)).await.unwrap().is_none());
    let mut kept: Vec<_> =
        fixture.store.webhooks(TENANT).await.unwrap().into_iter().map(|webhook| webhook.id).collect();
    kept.sort();
    assert_eq!(kept, mine);
    assert!(fixture.store.webhooks("another").await.unwrap().is_empty());
    assert!(!fixture.store.remove_webhook("another", &mine[0]).await.unwrap());
    let secret = SigningSecret::new("whsec_AAAA".into());
    assert!(!fixture.store.rotate_webhook("another", &mine[0], &secret, SystemTime::now()).await.unwrap());
}

async fn a_secret_that_was_replaced_signs_along_for_a_while(fixture: Fixture) {
    let id = fixture.webhook().await;
    let secrets = async |until: SystemTime, new: &str| {
        let rotated = fixture.store.rotate_webhook(TENANT, &id, &SigningSecret::new(new.into()), until).await;
        assert!(rotated.unwrap());
        fixture.ended(JobStatus::Completed).await;
        let secrets = fixture.due().await.remove(0).secrets;
        assert!(!format!("{secrets:?}").contains(new), "a secret does not print");
        secrets.iter().map(|secret| secret.reveal().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        secrets(SystemTime::now() + LEASE, "whsec_new").await,
        ["whsec_new", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    );
    assert_eq!(secrets(SystemTime::now(), "whsec_newer").await, ["whsec_newer"]);
}

async fn what_ended_long_ago_is_forgotten(fixture: Fixture) {
    fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    let delivery = fixture.due().await.remove(0);
    fixture.ended(JobStatus::Completed).await;
    assert!(fixture.store.settle(&delivery, Some(200), None, Settled::Delivered).await.unwrap());
    assert_eq!(fixture.store.forget_deliveries(SystemTime::now() - LEASE).await.unwrap(), 0);
    assert_eq!(fixture.store.forget_deliveries(SystemTime::now() + LEASE).await.unwrap(), 1);
    assert_eq!(fixture.due().await.len(), 1, "what is still to be told is not forgotten");
}

async fn an_end_outlives_its_job(fixture: Fixture) {
    fixture.webhook().await;
    let job = fixture.ended(JobStatus::Completed).await;
    fixture.store.delete(TENANT, &job).await.unwrap();
    assert_eq!(fixture.due().await[0].job, job);
}

async fn a_message_that_cannot_be_read_is_set_aside_and_others_go_on(fixture: Fixture) {
    fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    fixture.execute("UPDATE webhook_deliveries SET request_id = 'no request of ours'").await;
    let well = fixture.ended(JobStatus::Completed).await;
    let due = fixture.due().await;
    assert_eq!(due.iter().map(|delivery| &delivery.job).collect::<Vec<_>>(), [&well]);
    fixture.execute("UPDATE webhook_deliveries SET due_at = 0 WHERE due_at IS NOT NULL").await;
    assert_eq!(fixture.due().await.len(), 1, "the other has ended");
}

async fn what_was_left_for_one_that_wants_nothing_more_is_given_up(fixture: Fixture) {
    let webhook = fixture.webhook().await;
    fixture.ended(JobStatus::Completed).await;
    fixture.execute("UPDATE webhooks SET disabled_at = 1").await;
    assert_eq!(fixture.due().await, []);
    let told = fixture.store.told(TENANT, &webhook, 10).await.unwrap().unwrap();
    assert_eq!(
        told.iter().map(|told| (told.due_at, told.problem.as_deref())).collect::<Vec<_>>(),
        [(None, Some("gone"))]
    );
    fixture.ended(JobStatus::Completed).await;
    assert_eq!(fixture.store.told(TENANT, &webhook, 10).await.unwrap().unwrap().len(), 1);
}

async fn a_webhook_that_cannot_be_read_keeps_no_job_from_ending(fixture: Fixture) {
    fixture.webhook().await;
    fixture.execute("UPDATE webhooks SET events = 'all of them'").await;
    let well = fixture.webhook().await;
    let job = fixture.ended(JobStatus::Completed).await;
    assert_eq!(fixture.status(&job).await, JobStatus::Completed);
    assert_eq!(fixture.due().await.into_iter().map(|delivery| delivery.webhook).collect::<Vec<_>>(), [well]);
}
