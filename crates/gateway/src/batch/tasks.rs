//! What exactly happened: the tasks of a job, and everything they have written.

use std::time::SystemTime;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dalston_protocol::{
    ApiError, ErrorCode, TaskId,
    job::{Artifact, TaskList},
};
use dalston_store::{TaskRecord, node_folder};
use http::header;
use serde_json::{Value, json};

use super::{Batch, batch, job_id, no_artifact, unreadable, view};
use crate::{api::Failure, auth::Principal, gateway::App};

pub(crate) async fn tasks(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<TaskList>, Failure> {
    let batch = batch(&app)?;
    let job = batch.job(&caller.tenant(), &job_id(&id)?).await?;
    let (tasks, now) = (batch.store.tasks(&job.id).await.map_err(unreadable)?, SystemTime::now());
    Ok(Json(TaskList { tasks: tasks.iter().map(|task| view::task(task, now)).collect() }))
}

/// What all attempts at a task have written, by `attempt/name`.
pub(crate) async fn artifacts(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path((id, task)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let batch = batch(&app)?;
    let task = find(batch, &caller, &id, &task).await?;
    Ok(Json(json!({ "artifacts": written(batch, &task).await? })))
}

pub(crate) async fn artifact(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path((id, task, name)): Path<(String, String, String)>,
) -> Result<Response, Failure> {
    let batch = batch(&app)?;
    let task = find(batch, &caller, &id, &task).await?;
    // Only what the list has can be asked for, so a name that climbs out of its folder names nothing.
    if !written(batch, &task).await?.iter().any(|artifact| artifact.name == name) {
        return Err(Failure(ApiError::new(ErrorCode::NotFound, "the task has written nothing of this name")));
    }
    let (bytes, stream) = batch.artifacts.stream(&format!("{}/{name}", folder(&task))).await.map_err(no_artifact)?;
    let kind = if name.ends_with(".json") { "application/json" } else { "application/octet-stream" };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

async fn find(batch: &Batch, caller: &Principal, id: &str, task: &str) -> Result<TaskRecord, Failure> {
    let job = batch.job(&caller.tenant(), &job_id(id)?).await?;
    let task: TaskId = task.parse().map_err(|invalid| Failure(ApiError::param("task", format!("{invalid}"))))?;
    let tasks = batch.store.tasks(&job.id).await.map_err(unreadable)?;
    tasks
        .into_iter()
        .find(|known| known.id == task)
        .ok_or_else(|| Failure(ApiError::new(ErrorCode::NotFound, "the job has no such task")))
}

fn folder(task: &TaskRecord) -> String {
    node_folder(&task.job_id, &task.node)
}

async fn written(batch: &Batch, task: &TaskRecord) -> Result<Vec<Artifact>, Failure> {
    let folder = folder(task);
    let listed = batch.artifacts.list(&folder).await.map_err(no_artifact)?;
    let named = listed
        .into_iter()
        .filter_map(|(key, bytes)| Some((key.strip_prefix(&folder)?.strip_prefix('/')?.to_owned(), bytes)));
    let mut artifacts: Vec<_> = named.map(|(name, bytes)| Artifact { name, bytes }).collect();
    artifacts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(artifacts)
}
