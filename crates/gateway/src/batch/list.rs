//! `GET /v1/audio/transcriptions`: a tenant's jobs, newest first.

use axum::{Extension, Json, extract::State};
use dalston_protocol::{ApiError, job::JobList};
use dalston_store::{ListQuery, StoreError};
use http::Uri;

use super::{batch, query::Query, unreadable, view};
use crate::{api::Failure, auth::Principal, gateway::App};

/// Most jobs in one answer.
const MOST: u32 = 100;

pub(crate) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    uri: Uri,
) -> Result<Json<JobList>, Failure> {
    let query = wanted(&uri).map_err(Failure)?;
    let page = batch(&app)?.store.list(&caller.tenant(), query).await.map_err(unlisted)?;
    let items = page.jobs.iter().map(view::summary).collect();
    Ok(Json(JobList { items, next_cursor: page.next_cursor }))
}

/// Why there is no such page.
pub(super) fn unlisted(error: StoreError) -> Failure {
    match error {
        StoreError::InvalidCursor => {
            let message = "this cursor is none that a list has given; leave it away to begin with the newest job";
            Failure(ApiError::param("cursor", message))
        }
        other => unreadable(other),
    }
}

fn wanted(uri: &Uri) -> Result<ListQuery, ApiError> {
    let query = Query::read(uri, &["status", "since", "limit", "cursor"])?;
    let status = query.get("status").map(|status| status.parse().map_err(|error| wrong("status", error)));
    let since = query.get("since").map(|since| {
        humantime::parse_rfc3339_weak(since)
            .map_err(|_| wrong("since", "since must be a time in UTC such as 2026-01-31T12:00:00Z"))
    });
    Ok(ListQuery {
        status: status.transpose()?,
        since: since.transpose()?,
        limit: query.number("limit", 1..=MOST, 20)?,
        cursor: query.get("cursor").map(str::to_owned),
    })
}

fn wrong(param: &str, message: impl std::fmt::Display) -> ApiError {
    ApiError::param(param, message.to_string())
}
