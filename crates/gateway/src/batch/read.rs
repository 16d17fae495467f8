//! One job, its transcript in every form, and the list of what failed.

use std::time::SystemTime;

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dalston_protocol::{
    ApiError, ErrorCode,
    job::{Job, JobStatus, Transcript},
};
use dalston_store::JobRecord;
use http::{Uri, header};
use serde_json::{Value, json};

use super::{
    Batch, batch,
    export::{Format, Layout, render},
    job_id,
    list::unlisted,
    no_artifact,
    query::Query,
    unreadable, view,
};
use crate::{api::Failure, auth::Principal, gateway::App};

/// Bytes of a transcript as it is kept: a day of words with times is below it.
const MAX_TRANSCRIPT: u64 = 256 << 20;
/// Most failed tasks in one answer.
const MOST_DEAD: u32 = 100;

pub(crate) async fn one(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Failure> {
    let batch = batch(&app)?;
    let job = batch.job(&caller.tenant(), &job_id(&id)?).await?;
    full(batch, &job).await.map(Json)
}

/// With stages, and with the transcript when it is there.
pub(super) async fn full(batch: &Batch, job: &JobRecord) -> Result<Job, Failure> {
    let tasks = batch.store.tasks(&job.id).await.map_err(unreadable)?;
    let mut view = view::with_stages(job, &tasks, SystemTime::now());
    if job.status == JobStatus::Completed {
        view.transcript = Some(transcript(batch, job).await?);
    }
    Ok(view)
}

/// What was said in a job that is completed.
///
/// # Errors
/// [`ErrorCode::WrongStatus`] where it is not.
pub(super) async fn transcript(batch: &Batch, job: &JobRecord) -> Result<Transcript, Failure> {
    let (JobStatus::Completed, Some(key)) = (job.status, &job.result) else {
        let message = format!("the job is {}; it has a transcript once it is completed", job.status);
        return Err(Failure(ApiError::new(ErrorCode::WrongStatus, message)));
    };
    let bytes = batch.artifacts.get(key, MAX_TRANSCRIPT).await.map_err(no_artifact)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        tracing::error!(%error, job_id = %job.id, "a transcript is not one");
        Failure(ApiError::new(ErrorCode::Internal, "the transcript cannot be read"))
    })
}

pub(crate) async fn export(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path((id, format)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Failure> {
    let format: Format = format.parse().map_err(Failure)?;
    let layout = layout(&uri).map_err(Failure)?;
    let batch = batch(&app)?;
    let job = batch.job(&caller.tenant(), &job_id(&id)?).await?;
    let transcript = transcript(batch, &job).await?;
    let body = render(&transcript, format, layout)
        .unwrap_or_else(|| serde_json::to_string_pretty(&transcript).expect("a transcript has a form in JSON"));
    let name = format!("attachment; filename=\"{}.{}\"", job.id, format.as_str());
    let headers = [(header::CONTENT_TYPE, format.content_type().to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

fn layout(uri: &Uri) -> Result<Layout, ApiError> {
    let usual = Layout::default();
    let query = Query::read(uri, &["max_line_length", "max_lines"])?;
    Ok(Layout {
        line_length: query.number("max_line_length", Layout::LINE_LENGTH, usual.line_length)?,
        lines: query.number("max_lines", Layout::LINES, usual.lines)?,
    })
}

/// Tasks that failed for good, with their last errors: what can be tried again by hand.
pub(crate) async fn dead(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    uri: Uri,
) -> Result<Json<Value>, Failure> {
    let query = Query::read(&uri, &["limit", "cursor"]).map_err(Failure)?;
    let limit = query.number("limit", 1..=MOST_DEAD, 20).map_err(Failure)?;
    let cursor = query.get("cursor").map(str::to_owned);
    let page = batch(&app)?.store.dead(&caller.tenant(), limit, cursor).await.map_err(unlisted)?;
    let now = SystemTime::now();
    let items: Vec<Value> = page
        .tasks
        .iter()
        .map(|dead| {
            let task = view::task(&dead.task, now);
            json!({ "job_id": dead.task.job_id, "name": dead.job_name, "task": task })
        })
        .collect();
    let mut dead = json!({ "items": items });
    if let Some(cursor) = page.next_cursor {
        dead["next_cursor"] = cursor.into();
    }
    Ok(Json(dead))
}
