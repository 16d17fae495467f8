//! Whoever wants to know of a job's end is told, at least once, as Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! What is to be told was written in the transaction that ended the job, so its result can be read by then, and a process that
//! is killed at any moment loses none of it. One that is killed while it tells tells again: a message has the same id each time.

mod signature;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use dalston_egress::{Client, EgressError, Limits, Origin, Request};
use dalston_protocol::WebhookId;
use dalston_store::{Delivery, Settled, StoreError};
use dalston_telemetry::{Component, Span, StepKind, TraceContext, key, names::span};
use http::{HeaderName, HeaderValue, StatusCode, header};
use rand::RngExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Orchestrator;

/// How webhooks are told.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookSettings {
    /// Longest time of one attempt: 15 s, as the standard suggests.
    pub timeout: Duration,
    /// How long an attempt is nobody else's: 45 s. Longer than [`timeout`](Self::timeout); whoever is killed while it tells
    /// has the message told again then.
    pub lease: Duration,
    /// Waits between attempts, each ± 20 %: eight, about a day altogether. After the last, a message is given up.
    pub retries: Vec<Duration>,
    /// Attempts at once: 32.
    pub concurrency: usize,
    /// Attempts at once at one receiver, so that a slow one does not hold up the others: 4.
    pub concurrency_each: usize,
    /// How long it is kept what became of a message: a week.
    pub keep: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        const HOUR: u64 = 3600;
        let retries = [5, 60, 300, 1800, 2 * HOUR, 5 * HOUR, 8 * HOUR, 8 * HOUR];
        Self {
            timeout: Duration::from_secs(15),
            lease: Duration::from_secs(45),
            retries: retries.map(Duration::from_secs).into(),
            concurrency: 32,
            concurrency_each: 4,
            keep: Duration::from_secs(7 * 24 * HOUR),
        }
    }
}

/// How long what is due is not looked for when nothing is heard: retries become due, and other processes end jobs, too.
const POLL: Duration = Duration::from_secs(1);
/// How often what is long over is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// The longest that a receiver may ask to be left alone.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

impl Orchestrator {
    /// Tells what is to be told until it is told to stop; what is under way then is cut off, and told again.
    pub(crate) async fn tell_webhooks(
        self,
        client: Client,
        settings: Arc<WebhookSettings>,
        shutdown: CancellationToken,
    ) {
        let teller = Teller { orchestrator: self, client, settings };
        let mut news = teller.orchestrator.store.news();
        let mut forget = tokio::time::interval(FORGET_EVERY);
        let mut under_way = UnderWay::default();
        loop {
            // Seen before it is looked, so that nothing that is written meanwhile is missed.
            news.mark_unchanged();
            if let Err(error) = teller.begin(&mut under_way).await {
                tracing::warn!(%error, "webhooks cannot be told now");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(ended) = under_way.attempts.join_next(), if !under_way.attempts.is_empty() => under_way.ended(ended),
                _ = news.changed() => {}
                _ = forget.tick() => teller.forget().await,
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}

/// Attempts that have begun. Dropped, they are cut off.
#[derive(Default)]
struct UnderWay {
    attempts: JoinSet<WebhookId>,
    each: HashMap<WebhookId, usize>,
}

impl UnderWay {
    fn ended(&mut self, ended: Result<WebhookId, tokio::task::JoinError>) {
        match ended {
            Ok(webhook) => {
                if let Some(count) = self.each.get_mut(&webhook) {
                    *count -= 1;
                }
                self.each.retain(|_, count| *count > 0);
            }
            // Whose it was is lost with it; with nothing under way, nobody is busy.
            Err(error) => tracing::error!(%error, "an attempt to tell a webhook ended badly"),
        }
        if self.attempts.is_empty() {
            self.each.clear();
        }
    }

    fn busy(&self, limit: usize) -> Vec<WebhookId> {
        self.each.iter().filter(|(_, count)| **count >= limit).map(|(id, _)| id.clone()).collect()
    }
}

#[derive(Clone)]
struct Teller {
    orchestrator: Orchestrator,
    client: Client,
    settings: Arc<WebhookSettings>,
}

/// What came of an attempt.
enum Answer {
    Status(StatusCode, Option<Duration>),
    None(EgressError),
}

impl Teller {
    /// Begins as many attempts as there is room for.
    async fn begin(&self, under_way: &mut UnderWay) -> Result<(), StoreError> {
        loop {
            let room = self.settings.concurrency.saturating_sub(under_way.attempts.len());
            // Few at a time: all of them may be for one.
            let limit = u32::try_from(room.min(self.settings.concurrency_each)).unwrap_or(1);
            if limit == 0 {
                return Ok(());
            }
            let busy = under_way.busy(self.settings.concurrency_each);
            let due = self.orchestrator.store.due_deliveries(self.settings.lease, limit, &busy).await?;
            if due.is_empty() {
                return Ok(());
            }
            for delivery in due {
                *under_way.each.entry(delivery.webhook.clone()).or_default() += 1;
                let teller = self.clone();
                under_way.attempts.spawn(async move {
                    let webhook = delivery.webhook.clone();
                    teller.tell(&delivery).await;
                    webhook
                });
            }
        }
    }

    async fn tell(&self, delivery: &Delivery) {
        let span = self.span(delivery);
        span.around(async {
            let answer = self.send(delivery, &span.context()).await;
            let (settled, outcome) = self.verdict(delivery, &answer);
            let (status, problem) = match &answer {
                Answer::Status(status, _) => (Some(status.as_u16()), None),
                Answer::None(error) => (None, Some(error.kind())),
            };
            span.set(key::OUTCOME, outcome);
            if settled != Settled::Delivered {
                span.fail(problem.unwrap_or("refused"), "the webhook did not take the message");
            }
            self.orchestrator.metrics.jobs.webhook(outcome);
            let (webhook, job_id, request_id) = (&delivery.webhook, &delivery.job, &delivery.request_id);
            let attempt = delivery.attempt;
            tracing::info!(%webhook, %job_id, %request_id, outcome, status, problem, attempt, "webhook told");
            if let Err(error) = self.orchestrator.store.settle(delivery, status, problem, settled).await {
                // It is due again when its lease ends.
                tracing::warn!(%error, %webhook, %job_id, "what a webhook answered cannot be kept; it is told again");
            }
        })
        .await;
    }

    async fn send(&self, delivery: &Delivery, trace: &TraceContext) -> Answer {
        let id = delivery.id.as_str();
        // Of this attempt, not of the message: receivers refuse what is older than minutes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = signature::signatures(&delivery.secrets, id, now, &delivery.body);
        let header = |text: &str| HeaderValue::from_str(text).expect("ids, numbers and base64 are visible ASCII");
        // What is answered is of no interest, so not a byte of it is read; and a redirect is no taking.
        let limits = Limits { total: self.settings.timeout, body: 0, redirects: 0 };
        let component = Component::Orchestrator;
        let origin = Origin { component, trace: trace.clone(), request_id: delivery.request_id.as_str() };
        let request = Request::post(&delivery.url, Bytes::from(delivery.body.clone()), limits, origin)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(ID, header(id))
            .header(TIMESTAMP, header(&now.to_string()))
            .header(SIGNATURE, header(&signature));
        match self.client.send(request).await {
            Ok(response) => {
                let retry_after = response.headers().get(header::RETRY_AFTER);
                let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
                Answer::Status(response.status(), seconds.map(Duration::from_secs))
            }
            Err(error) => Answer::None(error),
        }
    }

    fn verdict(&self, delivery: &Delivery, answer: &Answer) -> (Settled, &'static str) {
        let asked = match answer {
            Answer::Status(status, _) if status.is_success() => return (Settled::Delivered, "delivered"),
            Answer::Status(StatusCode::GONE, _) => return (Settled::Gone, "gone"),
            Answer::Status(_, retry_after) => retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)),
            Answer::None(_) => None,
        };
        let retry = delivery.attempt.saturating_sub(1) as usize;
        let Some(wait) = self.settings.retries.get(retry) else { return (Settled::Dead, "dead") };
        // Spread, so that what failed together does not come back together.
        let wait = wait.mul_f64(rand::rng().random_range(0.8..=1.2)).max(asked.unwrap_or_default());
        (Settled::Again(SystemTime::now() + wait), "retried")
    }

    fn span(&self, delivery: &Delivery) -> Span {
        let parent = delivery.traceparent.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent);
        let (tracers, none) = (&self.orchestrator.tracers, TraceContext::none());
        let span = tracers.step(Component::Orchestrator, StepKind::Internal, span::DELIVER_WEBHOOK, &parent, &none);
        span.label(key::JOB_ID, delivery.job.as_str());
        span.label(key::REQUEST_ID, delivery.request_id.as_str());
        span.set(key::ATTEMPT, u64::from(delivery.attempt));
        span
    }

    async fn forget(&self) {
        match self.orchestrator.store.forget_deliveries(SystemTime::now() - self.settings.keep).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "messages to webhooks that ended long ago were forgotten"),
            Err(error) => tracing::warn!(%error, "messages to webhooks cannot be forgotten now"),
        }
    }
}
