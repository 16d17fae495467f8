//! `GET …/{id}/events`: how far a job is, as server-sent events until it has ended
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::{convert::Infallible, time::SystemTime};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use dalston_protocol::{ApiError, JobId, RequestId, job::Job};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::{Batch, batch, follow::Follower, job_id, unreadable, view};
use crate::{
    api::{Failure, header_text},
    auth::Principal,
    gateway::App,
};

/// Id of the last event. A browser that comes back with it wants nothing more.
const LAST: &str = "last";

pub(crate) async fn events(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Extension(request_id): Extension<RequestId>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let batch = batch(&app)?;
    let (id, tenant) = (job_id(&id)?, caller.tenant().to_string());
    let job = batch.job(&tenant, &id).await?;
    if job.status.is_terminal() && header_text(&headers, "last-event-id") == Some(LAST) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = Follower::of_changes(batch, &id).await?;
    let until = Instant::now() + batch.settings.max_events;
    let telling = Telling { app: app.clone(), tenant, id, request_id, follower, told: None, until, is_over: false };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies of the nginx kind would gather events until a buffer is full.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let events = stream::unfold(telling, |mut telling| async move {
        let event = telling.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(event)), telling))
    });
    Ok((headers, Body::from_stream(events)).into_response())
}

/// What one client is told. Asked for the next event only when the last one is on its way, so a slow reader is told less,
/// not later.
struct Telling {
    app: App,
    tenant: String,
    id: JobId,
    request_id: RequestId,
    follower: Follower,
    told: Option<Job>,
    until: Instant,
    is_over: bool,
}

impl Telling {
    async fn next(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let app = self.app.clone();
        let batch = app.batch.as_ref()?;
        let quiet_until = (Instant::now() + batch.settings.keepalive).min(self.until);
        loop {
            if self.told.is_some() {
                let waited = tokio::select! {
                    waited = timeout_at(quiet_until, self.follower.changed()) => waited,
                    () = app.draining.cancelled() => return None,
                };
                if waited.is_err() {
                    self.is_over = quiet_until == self.until;
                    return Some(": still here\n\n".into());
                }
            }
            match look(batch, &self.tenant, &self.id).await {
                Ok(job) if self.told.as_ref().is_some_and(|told| is_same(told, &job)) => {}
                Ok(job) => return Some(self.tell(job)),
                Err(Failure(error)) => return Some(self.fail(&error)),
            }
        }
    }

    fn tell(&mut self, job: Job) -> String {
        self.is_over = job.status.is_terminal();
        let id = if self.is_over { format!("id: {LAST}\n") } else { String::new() };
        let data = serde_json::to_string(&job).expect("a job has a form in JSON");
        self.told = Some(job);
        format!("event: progress\n{id}data: {data}\n\n")
    }

    fn fail(&mut self, error: &ApiError) -> String {
        self.is_over = true;
        let data = serde_json::to_string(&error.body(&self.request_id)).expect("an error has a form in JSON");
        format!("event: error\ndata: {data}\n\n")
    }
}

async fn look(batch: &Batch, tenant: &str, id: &JobId) -> Result<Job, Failure> {
    let job = batch.job(tenant, id).await?;
    let tasks = batch.store.tasks(id).await.map_err(unreadable)?;
    Ok(view::with_stages(&job, &tasks, SystemTime::now()))
}

/// But for the clock: durations grow without anything having happened.
fn is_same(told: &Job, job: &Job) -> bool {
    let still = |job: &Job| {
        let mut job = job.clone();
        for stage in &mut job.stages {
            (stage.wait_seconds, stage.duration_seconds) = (None, None);
        }
        job
    };
    still(told) == still(job)
}
