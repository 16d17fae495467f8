//! What the owner of a job does with it: rename, delete, cancel, try again.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
};
use dalston_protocol::{
    ApiError, ErrorCode,
    job::{Job, JobCreated, JobStatus},
};
use dalston_store::{Deleted, job_folder};
use http::StatusCode;
use serde::{Deserialize, Deserializer};

use super::{Batch, admission, batch, follow::announce, job_id, not_found, read, request::job_name, unreadable, view};
use crate::{
    api::{Failure, object},
    auth::Principal,
    gateway::App,
};

/// The body of a rename.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// `null` takes the name away; not there at all, it stays.
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
}

/// What is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

pub(crate) async fn rename(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Job>, Failure> {
    let batch = batch(&app)?;
    let (id, tenant) = (job_id(&id)?, caller.tenant());
    let Rename { name } = object(&body, r#"{"name": "interview"}"#)?;
    if let Some(name) = name {
        let name = name.map(|name| job_name(&name)).transpose().map_err(Failure)?;
        if !batch.store.rename(&tenant, &id, name.as_deref()).await.map_err(unreadable)? {
            return Err(not_found());
        }
    }
    read::full(batch, &batch.job(&tenant, &id).await?).await.map(Json)
}

/// Forgets a job that has ended, with everything that belongs to it.
pub(crate) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let batch = batch(&app)?;
    let id = job_id(&id)?;
    match batch.store.delete(&caller.tenant(), &id).await.map_err(unreadable)? {
        Deleted::Yes => {}
        Deleted::NotFound => return Err(not_found()),
        Deleted::NotTerminal => {
            let message = "the job has not ended; cancel it first";
            return Err(Failure(ApiError::new(ErrorCode::WrongStatus, message)));
        }
    }
    // The job is gone for its owner either way; a sweep finds what stays behind.
    if let Err(error) = batch.artifacts.remove(&job_folder(&id)).await {
        tracing::error!(%error, job_id = %id, "artifacts of a deleted job stay behind");
    }
    announce(&*batch.broker, &id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Final at once if nothing of the job runs, else soon. What has ended stays as it is, and that is no error: a client may
/// be late.
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<JobCreated>, Failure> {
    let batch = batch(&app)?;
    let (id, tenant) = (job_id(&id)?, caller.tenant());
    batch.store.cancel(&tenant, &id).await.map_err(unreadable)?.ok_or_else(not_found)?;
    standing(batch, &tenant, &id).await
}

/// Another try at a job that failed, with all its attempts.
pub(crate) async fn retry(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<JobCreated>, Failure> {
    let batch = batch(&app)?;
    let (id, tenant) = (job_id(&id)?, caller.tenant());
    let job = batch.job(&tenant, &id).await?;
    if job.status == JobStatus::Failed {
        admission::job(batch, &caller, 1).await?;
    }
    if !batch.store.replay(&tenant, &id).await.map_err(unreadable)? {
        let job = batch.job(&tenant, &id).await?;
        let message = match job.status {
            JobStatus::Failed => "its files were removed when it ended, as `retention` 0 asks; send them again".into(),
            status => format!("the job is {status}; only one that failed can be tried again"),
        };
        return Err(Failure(ApiError::new(ErrorCode::WrongStatus, message)));
    }
    standing(batch, &tenant, &id).await
}

/// Tells who follows the job, and gives where it stands.
async fn standing(batch: &Batch, tenant: &str, id: &dalston_protocol::JobId) -> Result<Json<JobCreated>, Failure> {
    announce(&*batch.broker, id).await;
    Ok(Json(view::created(&batch.job(tenant, id).await?)))
}
