//! `POST /v1/audio/transcriptions`: a file becomes a job. `POST /v1/audio/translations`: its text is to be English.

use axum::{
    Extension, Json,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, JobId, RequestId, job::JobStatus};
use dalston_store::{Created, JOB_QUEUE, JobRecord, NewJob, Source, job_folder};
use dalston_telemetry::{Component, MessagingOperation, StepKind, TraceContext, key, names::span};
use http::{StatusCode, header, request::Parts};
use tokio::time::Instant;

use super::{
    Batch, admission, batch,
    fetch::Fetch,
    follow::{self, announce},
    form::{File, Incoming, unwritable},
    idempotency::{self, REPLAYED, idempotency},
    openai,
    places::Holder,
    query::Query,
    read::transcript,
    request::{self, Asked, Purpose},
    unreadable, view,
};
use crate::{api::Failure, auth::Principal, gateway::App, server::Peer};

/// Who asks, and as part of what.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) tenant: String,
    pub(super) request_id: RequestId,
    pub(super) trace: TraceContext,
}

pub(crate) async fn create(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceContext>,
    request: Request,
) -> Result<Response, Failure> {
    serve(&app, &principal, request_id, trace, request, Purpose::Transcription).await
}

/// There is only OpenAI's way.
pub(crate) async fn translate(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    Extension(request_id): Extension<RequestId>,
    Extension(trace): Extension<TraceContext>,
    request: Request,
) -> Result<Response, Failure> {
    serve(&app, &principal, request_id, trace, request, Purpose::Translation).await
}

async fn serve(
    app: &App,
    principal: &Principal,
    request_id: RequestId,
    trace: TraceContext,
    request: Request,
    purpose: Purpose,
) -> Result<Response, Failure> {
    let batch = batch(app)?;
    let caller = Caller { tenant: principal.tenant().to_string(), request_id, trace };
    let engines = batch.engines.now();
    let mut asked = request::Request::new(&batch.settings, &engines, purpose);
    if openai::is_sdk(request.headers()) {
        asked.comes_from_openais_sdk();
    }
    answer(app, batch, principal, &caller, request, &mut asked).await
}

async fn answer(
    app: &App,
    batch: &Batch,
    principal: &Principal,
    caller: &Caller,
    request: Request,
    asked: &mut request::Request<'_>,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    // Before it is looked whether there is a drain: one that begins now waits for this request.
    let _under_way = app.uploads.token();
    if app.draining.is_cancelled() {
        return Err(Failure(ApiError::new(ErrorCode::Draining, "the server is going down")));
    }
    asked.expect_engines().map_err(Failure)?;
    let idempotency_key = idempotency::key(&parts.headers).map_err(Failure)?;
    let wait = Query::read(&parts.uri, &["wait"]).and_then(|query| query.flag("wait")).map_err(Failure)?;
    let seat = admission::upload(batch, principal, idempotency_key.as_deref()).await?;
    let (id, file, asked) = upload(app, batch, caller, &parts, body, asked).await?;
    let wait = wait || asked.wait;
    let openai = asked.openai.clone();
    let (job, is_new) = accept(app, batch, caller, NewUpload { id, file, asked, idempotency_key }).await?;
    drop(seat);

    let deadline = Instant::now() + batch.settings.max_wait;
    let mut response = match openai {
        Some(openai) => {
            let abandoned = Abandoned::new(app, &job, is_new);
            let job = ended(app, batch, &job, deadline).await?;
            abandoned.disarm();
            if let Some(error) = &job.error
                && job.status == JobStatus::Failed
            {
                return Ok(openai::failed(error));
            }
            if matches!(job.status, JobStatus::Cancelling | JobStatus::Cancelled) {
                return Ok(openai::cancelled(&job.id));
            }
            openai::answer(&openai, &result(batch, &job).await?)
        }
        None if wait => {
            let job = ended(app, batch, &job, deadline).await?;
            if job.status.is_terminal() {
                let view = super::read::full(batch, &job).await?;
                (status(is_new), location(&job), Json(view)).into_response()
            } else {
                accepted(&job, StatusCode::ACCEPTED, is_new)
            }
        }
        None => accepted(&job, status(is_new), is_new),
    };
    // For the request's span.
    response.extensions_mut().insert(job.id);
    Ok(response)
}

/// Reads the form. What is wrong with it is found before anything of it is kept.
async fn upload(
    app: &App,
    batch: &Batch,
    caller: &Caller,
    parts: &Parts,
    body: axum::body::Body,
    asked: &mut request::Request<'_>,
) -> Result<(JobId, File, Asked), Failure> {
    let _place = batch.uploads.take(holder(caller, parts)).map_err(Failure)?;
    let id = JobId::generate();
    let key = source_key(&id);
    let span = app.tracers.step(
        Component::Gateway,
        StepKind::Internal,
        span::UPLOAD_SOURCE,
        &caller.trace,
        &TraceContext::none(),
    );
    span.label(key::JOB_ID, id.as_str());
    span.label(key::REQUEST_ID, caller.request_id.as_str());
    span.set(key::STORAGE_BACKEND, batch.artifacts.backend());
    let incoming = Incoming { headers: &parts.headers, body, settings: &batch.settings };
    let writer = || batch.artifacts.writer(&key, batch.settings.max_upload);
    let file = span.around(incoming.read(asked, writer)).await.map_err(Failure)?;
    let asked = asked.finish().map_err(Failure)?;
    let file = match file {
        Some(file) => file,
        None => {
            let fetch = Fetch { client: app.egress.as_ref(), settings: &batch.settings, caller, trace: span.context() };
            span.around(fetch.file(asked.audio_url.as_deref().unwrap_or_default(), writer)).await.map_err(Failure)?
        }
    };
    span.set(key::ARTIFACT_BYTES, file.bytes);
    Ok((id, file, asked))
}

/// Whoever is counted as one among those who upload.
fn holder(caller: &Caller, parts: &Parts) -> Holder {
    let address = parts.extensions.get::<Peer>().map(|peer| peer.0);
    Holder { tenant: caller.tenant.clone(), address }
}

fn source_key(id: &JobId) -> String {
    format!("{}/source", job_folder(id))
}

/// An upload that is whole and says what is to be done with it.
#[derive(Debug)]
struct NewUpload {
    id: JobId,
    file: File,
    asked: Asked,
    idempotency_key: Option<String>,
}

/// Keeps the upload and makes its job; `false` when an earlier request made it. A client that leaves now does not undo it
/// halfway.
async fn accept(app: &App, batch: &Batch, caller: &Caller, new: NewUpload) -> Result<(JobRecord, bool), Failure> {
    let NewUpload { id, file, asked, idempotency_key } = new;
    let stored = file.upload.finish().await.map_err(|error| Failure(unwritable(error)))?;
    let name = asked.name.clone().or_else(|| file.name.clone());
    let no_link = TraceContext::none();
    let step = |kind, name| app.tracers.step(Component::Gateway, kind, name, &caller.trace, &no_link);
    // The row in the outbox that tells of the job is written along with it: this span is what they have in common.
    let published = step(StepKind::Producer, span::PUBLISH_JOB_CREATED);
    let created = step(StepKind::Internal, span::CREATE_JOB);
    published.messaging(MessagingOperation::Send, JOB_QUEUE);
    for span in [&published, &created] {
        span.label(key::JOB_ID, id.as_str());
        span.label(key::REQUEST_ID, caller.request_id.as_str());
    }
    let new = NewJob {
        id: id.clone(),
        tenant: caller.tenant.clone(),
        request_id: caller.request_id.clone(),
        traceparent: published.context().to_traceparent(),
        idempotency: idempotency_key
            .map(|key| idempotency(key, &asked.parameters, asked.name.as_deref(), &stored.sha256)),
        parameters: asked.parameters,
        name,
        source: Source { key: source_key(&id), file_name: file.name, bytes: stored.bytes, sha256: stored.sha256 },
    };
    let (store, artifacts) = (batch.store.clone(), batch.artifacts.clone());
    // It is not given up with a request whose client has gone.
    let making = app.last_words.spawn(created.around(async move {
        let made = store.create(new).await;
        // An error does not say that there is no job: its commit may have been lost on the way back. What then belongs to
        // none is for the sweep to find.
        if matches!(made, Ok(Created::Existing(_) | Created::Conflict)) {
            let _ = artifacts.remove(&job_folder(&id)).await;
        }
        made
    }));
    let made = making.await.map_err(|panic| {
        tracing::error!(%panic, "making a job failed");
        Failure(ApiError::new(ErrorCode::Internal, "the job could not be made"))
    })?;
    drop((created, published));
    match made.map_err(unreadable)? {
        Created::New(job) => {
            app.metrics.jobs.created.inc();
            tracing::info!(job_id = %job.id, bytes = job.source.bytes, "job accepted");
            Ok((job, true))
        }
        Created::Existing(job) => Ok((job, false)),
        Created::Conflict => {
            let message = "this Idempotency-Key was used with another file or other fields; use a new one";
            let error = ApiError::new(ErrorCode::IdempotencyConflict, message);
            Err(Failure(ApiError { param: Some("Idempotency-Key".into()), ..error }))
        }
    }
}

/// Waits for the job's end, or for the gateway's.
async fn ended(app: &App, batch: &Batch, job: &JobRecord, deadline: Instant) -> Result<JobRecord, Failure> {
    tokio::select! {
        ended = follow::ended(batch, job, deadline) => ended,
        () = app.draining.cancelled() => Ok(job.clone()),
    }
}

/// The transcript, for whoever can be told nothing else.
async fn result(batch: &Batch, job: &JobRecord) -> Result<dalston_protocol::job::Transcript, Failure> {
    let id = &job.id;
    match job.status {
        JobStatus::Completed => transcript(batch, job).await,
        JobStatus::Failed => {
            Err(Failure(ApiError::new(ErrorCode::Internal, "the audio could not be transcribed; it is not known why")))
        }
        _ => {
            let message =
                format!("this takes longer than an answer may; GET /v1/audio/transcriptions/{id} will have it");
            Err(Failure(ApiError::new(ErrorCode::Timeout, message)))
        }
    }
}

fn status(is_new: bool) -> StatusCode {
    if is_new { StatusCode::CREATED } else { StatusCode::OK }
}

fn accepted(job: &JobRecord, status: StatusCode, is_new: bool) -> Response {
    let mut response = (status, location(job), Json(view::created(job))).into_response();
    if !is_new {
        response.headers_mut().insert(REPLAYED, http::HeaderValue::from_static("true"));
    }
    response
}

fn location(job: &JobRecord) -> [(header::HeaderName, String); 1] {
    [(header::LOCATION, format!("/v1/audio/transcriptions/{}", job.id))]
}

/// Cancels the job of a client that has gone before its answer, if nobody else can be waiting for it: one with an
/// idempotency key is asked for again, by the same client or by another.
struct Abandoned(Option<(App, JobRecord)>);

impl Abandoned {
    fn new(app: &App, job: &JobRecord, is_new: bool) -> Self {
        let is_nobody_elses = is_new && job.idempotency.is_none();
        Self(is_nobody_elses.then(|| (app.clone(), job.clone())))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some((app, job)) = self.0.take() else { return };
        let last_words = app.last_words.clone();
        last_words.spawn(async move {
            let Some(batch) = &app.batch else { return };
            match batch.store.cancel(&job.tenant, &job.id).await {
                Ok(_) => announce(&*batch.broker, &job.id).await,
                Err(error) => tracing::warn!(%error, job_id = %job.id, "an abandoned job goes on"),
            }
        });
    }
}
