//! What webhooks are still to be told.
//!
//! A delivery stands here from the very transaction that ended its job until it was taken or given up. Whoever sends it
//! leases it first: should the sender die, it is due again when the lease ends. So it is sent at least once, and its id tells
//! a receiver that it has had it before.

use std::time::{Duration, SystemTime};

use dalston_protocol::{EndedJob, JobId, MessageId, RequestId, WebhookEvent, WebhookId, WebhookMessage};

use super::{
    JobRecord, JobStore,
    draft::Draft,
    edit::Edit,
    query::{Query, SqlRow, statement, statement_of},
    row::{Row, from_millis, millis, now, to_json, to_millis},
    webhooks::{SigningSecret, secrets},
};
use crate::StoreError;

/// Something that a webhook is to be told now.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The message, the same at each attempt.
    pub id: MessageId,
    /// Whom.
    pub webhook: WebhookId,
    /// Where.
    pub url: String,
    /// What signs it, the newest first.
    pub secrets: Vec<SigningSecret>,
    /// What: the same bytes at each attempt.
    pub body: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The job that ended.
    pub job: JobId,
    /// The request that made the job.
    pub request_id: RequestId,
    /// The span of the job, when tracing is on.
    pub traceparent: Option<String>,
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was taken.
    Delivered,
    /// It is to be tried again then.
    Again(SystemTime),
    /// It is given up.
    Dead,
    /// The receiver wants nothing any more: this and all that waits for it is given up, and nothing is added.
    Gone,
}

/// What became of something that a webhook was to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The message, the same at each attempt.
    pub id: MessageId,
    /// The job that ended.
    pub job: JobId,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Since when it was to be told.
    pub created_at: SystemTime,
    /// When it is tried again, at the latest; nothing, once it has ended.
    pub due_at: Option<SystemTime>,
    /// When it was taken, or given up.
    pub ended_at: Option<SystemTime>,
    /// What the last attempt was answered with.
    pub status: Option<u16>,
    /// Why the last attempt was not answered, in a word.
    pub problem: Option<String>,
}

/// By `webhook_deliveries_newest`.
pub(super) const NEWEST: &str = "SELECT id, job_id, attempts, created_at, due_at, ended_at, status, problem \
     FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2";

/// By `webhook_deliveries_due`.
pub(super) const ANY_DUE: &str = "SELECT id FROM webhook_deliveries WHERE due_at <= $1 LIMIT 1";

/// Leaves a message with each webhook whose list of events has this one in it. They differ by the latter half of their webhook's id, which is random. A
/// list of events that nobody can read wants none, and keeps no job from ending.
pub(super) const DELIVER: &str = "INSERT INTO webhook_deliveries (id, webhook_id, job_id, request_id, traceparent, \
     body, created_at, due_at, attempts) SELECT $1 || substr(id, 21), id, $2, $3, $4, $5, $6, $6, 0 FROM webhooks \
     WHERE tenant = $7 AND disabled_at IS NULL AND replace(events, $8, '') <> events";

impl Edit<'_> {
    /// Leaves word for whoever wants to know that the job stands there now, if it has ended.
    pub(super) async fn tell_of_end(&mut self, job: &JobRecord) -> Result<(), StoreError> {
        if let Some(deliveries) = deliveries(job, self.now) {
            self.run(deliveries).await?;
            self.has_news = true;
        }
        Ok(())
    }

    /// Gives up a message that cannot be read: left as it is it would come first for ever, and nobody else's would be sent.
    async fn set_aside(&mut self, row: &SqlRow, error: &StoreError) -> Result<(), StoreError> {
        let id: &str = Row(row).get("id")?;
        tracing::error!(%error, message = id, "a message to a webhook cannot be read, and is given up");
        self.give_up(row, "damaged").await
    }

    async fn give_up(&mut self, row: &SqlRow, problem: &str) -> Result<(), StoreError> {
        let query = statement("UPDATE webhook_deliveries SET due_at = NULL, ended_at = $2, problem = $3 WHERE id = $1");
        let id: &str = Row(row).get("id")?;
        self.run(query.bind(id).bind(self.now).bind(problem)).await
    }
}

impl JobStore {
    /// Changes whenever this process ended a job, of which somebody may be to be told. What is due otherwise is not seen: ask
    /// each second, too.
    pub fn news(&self) -> tokio::sync::watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Takes what is due, longest due first, but for what goes to one of `busy`; for a lease's time nobody else gets it.
    ///
    /// # Errors
    /// When the database fails, as everywhere here.
    pub async fn due_deliveries(
        &self,
        lease: Duration,
        limit: u32,
        busy: &[WebhookId],
    ) -> Result<Vec<Delivery>, StoreError> {
        let waiting = statement(ANY_DUE).bind(now()).fetch_optional(self.database.reader()).await?;
        if waiting.is_none() {
            // Almost always: nobody who writes is kept waiting for it.
            return Ok(Vec::new());
        }
        let mut edit = Edit::begin(self).await?;
        // Ids have letters, digits, `-` and `_` alone, so they can stand in the text.
        let busy = busy.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        let skip = if busy.is_empty() { String::new() } else { format!("AND webhook_id NOT IN ({busy})") };
        let sql = format!(
            "UPDATE webhook_deliveries SET due_at = $2, attempts = attempts + 1 WHERE due_at <= $1 AND id IN \
             (SELECT id FROM webhook_deliveries WHERE due_at <= $1 {skip} ORDER BY due_at LIMIT $3) \
             RETURNING id, webhook_id, job_id, request_id, traceparent, body, attempts"
        );
        let query = statement_of(sql).bind(edit.now);
        let query = query.bind(edit.now.saturating_add(millis(lease))).bind(i64::from(limit));
        let rows = query.fetch_all(&mut edit.transaction).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in &rows {
            let webhook: String = Row(row).get("webhook_id")?;
            let query = statement(
                "SELECT id, url, secret, old_secret, old_secret_until, disabled_at FROM webhooks WHERE id = $1",
            );
            let webhook_row = query.bind(webhook).fetch_one(&mut edit.transaction).await?;
            if Row(&webhook_row).time("disabled_at")?.is_some() {
                // Left at the moment at which it wanted nothing more.
                edit.give_up(row, "gone").await?;
                continue;
            }
            match delivery(row, &webhook_row) {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => edit.set_aside(row, &error).await?,
            }
        }
        edit.finish().await?;
        Ok(deliveries)
    }

    /// Says what an attempt came to: the status it was answered with, or the problem in one word. `false`: its lease had ended,
    /// and another has it, or nobody.
    ///
    /// # Errors
    /// As said.
    pub async fn settle(
        &self,
        delivery: &Delivery,
        status: Option<u16>,
        problem: Option<&str>,
        settled: Settled,
    ) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let due_at = match settled {
            Settled::Again(at) => Some(to_millis(at)),
            _ => None,
        };
        let ended_at = due_at.is_none().then_some(edit.now);
        if settled == Settled::Gone {
            // The webhook before what it is told, as in whatever removes it.
            let query = statement("UPDATE webhooks SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL");
            edit.run(query.bind(delivery.webhook.as_str()).bind(edit.now)).await?;
        }
        let query = statement(
            "UPDATE webhook_deliveries SET due_at = $3, ended_at = $4, status = $5, problem = $6 \
             WHERE id = $1 AND attempts = $2 AND ended_at IS NULL",
        );
        let query = query.bind(delivery.id.as_str()).bind(i64::from(delivery.attempt)).bind(due_at).bind(ended_at);
        let query = query.bind(status.map(i64::from)).bind(problem);
        let done = query.execute(&mut edit.transaction).await? > 0;
        if settled == Settled::Gone {
            let query = statement(
                "UPDATE webhook_deliveries SET due_at = NULL, ended_at = $2, problem = 'gone' \
                 WHERE webhook_id = $1 AND ended_at IS NULL",
            );
            edit.run(query.bind(delivery.webhook.as_str()).bind(edit.now)).await?;
        }
        edit.finish().await?;
        Ok(done)
    }

    /// What became of the newest things that a tenant's webhook was to be told. `None`: there is no such webhook.
    ///
    /// # Errors
    /// As said.
    pub async fn told(&self, tenant: &str, webhook: &WebhookId, limit: u32) -> Result<Option<Vec<Told>>, StoreError> {
        let query = statement("SELECT id FROM webhooks WHERE id = $1 AND tenant = $2");
        let query = query.bind(webhook.as_str()).bind(tenant);
        if query.fetch_optional(self.database.reader()).await?.is_none() {
            return Ok(None);
        }
        let query = statement(NEWEST).bind(webhook.as_str()).bind(i64::from(limit));
        query.fetch_all(self.database.reader()).await?.iter().map(told).collect::<Result<_, _>>().map(Some)
    }

    /// Forgets what ended before then. Gives back how much that was.
    ///
    /// # Errors
    /// As said.
    pub async fn forget_deliveries(&self, before: SystemTime) -> Result<u64, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let query = statement("DELETE FROM webhook_deliveries WHERE ended_at < $1").bind(to_millis(before));
        let forgotten = query.execute(&mut edit.transaction).await?;
        edit.finish().await?;
        Ok(forgotten)
    }
}

impl Draft<'_> {
    /// The same, of a job as it is to be.
    pub(super) fn tell_of_end(&mut self, job: &JobRecord) {
        if let Some(deliveries) = deliveries(job, self.now) {
            self.write(deliveries);
            self.has_news = true;
        }
    }
}

/// What leaves word with each webhook that its owner has and that wants to know, if the job has ended.
fn deliveries(job: &JobRecord, now: i64) -> Option<Query> {
    let event = WebhookEvent::of(job.status)?;
    let time = |millis| humantime::format_rfc3339_millis(from_millis(millis)).to_string();
    let data = EndedJob {
        id: job.id.clone(),
        status: job.status,
        request_id: job.request_id.clone(),
        created_at: time(to_millis(job.created_at)),
        error_code: job.error.as_ref().map(|error| error.code.clone()),
    };
    let body = to_json(&WebhookMessage { event, timestamp: time(now), data });
    let query = statement(DELIVER);
    let query = query.bind(MessageId::generate().as_str()).bind(job.id.as_str()).bind(job.request_id.as_str());
    let query = query.bind(job.traceparent.as_deref()).bind(body).bind(now);
    Some(query.bind(job.tenant.as_str()).bind(to_json(&event)))
}

fn delivery(row: &SqlRow, webhook_row: &SqlRow) -> Result<Delivery, StoreError> {
    let row = Row(row);
    let webhook_row = Row(webhook_row);
    Ok(Delivery {
        id: row.word("id")?,
        webhook: row.word("webhook_id")?,
        url: webhook_row.get("url")?,
        secrets: secrets(&webhook_row)?,
        body: row.get("body")?,
        attempt: row.number("attempts")?,
        job: row.word("job_id")?,
        request_id: row.word("request_id")?,
        traceparent: row.get("traceparent")?,
    })
}

fn told(row: &SqlRow) -> Result<Told, StoreError> {
    let row = Row(row);
    Ok(Told {
        id: row.word("id")?,
        job: row.word("job_id")?,
        attempts: row.number("attempts")?,
        created_at: from_millis(row.get("created_at")?),
        due_at: row.time("due_at")?,
        ended_at: row.time("ended_at")?,
        status: row.optional_number("status")?,
        problem: row.get("problem")?,
    })
}
