//! Sessions that were kept because they asked for it. Each tenant sees its own; another's is not found.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, SessionId};
use dalston_store::{Page, Shelf, StoreError, StoredSession};
use serde::Deserialize;

use super::Failure;
use crate::{auth::Principal, gateway::App};

/// Most sessions in one answer.
const MOST: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Paging {
    limit: Option<String>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page>, Failure> {
    let limit = match paging.limit.as_deref() {
        None => 20,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| Failure(ApiError::param("limit", format!("limit must be a number from 1 to {MOST}"))))?,
    };
    let cursor = paging.cursor.as_deref().map(|text| id("cursor", text)).transpose()?;
    shelf(&app)?.list(&caller.tenant(), limit, cursor.as_ref()).await.map(Json).map_err(|error| unreadable(&error))
}

pub(super) async fn one(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(session_id): Path<String>,
) -> Result<Json<StoredSession>, Failure> {
    let session_id = id("session_id", &session_id)?;
    let found = shelf(&app)?.get(&caller.tenant(), &session_id).await.map_err(|error| unreadable(&error))?;
    found.map(Json).ok_or_else(not_found)
}

pub(super) async fn audio(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(session_id): Path<String>,
) -> Result<Response, Failure> {
    let session_id = id("session_id", &session_id)?;
    let found = shelf(&app)?.audio(&caller.tenant(), &session_id).await.map_err(|error| unreadable(&error))?;
    let audio = found.ok_or_else(not_found)?;
    let headers = [(header::CONTENT_TYPE, "audio/wav".to_owned()), (header::CONTENT_LENGTH, audio.bytes.to_string())];
    Ok((headers, Body::from_stream(audio.stream)).into_response())
}

pub(super) async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(session_id): Path<String>,
) -> Result<StatusCode, Failure> {
    let session_id = id("session_id", &session_id)?;
    let was_there = shelf(&app)?.delete(&caller.tenant(), &session_id).await.map_err(|error| unreadable(&error))?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}

fn shelf(app: &App) -> Result<&Shelf, Failure> {
    app.shelf.as_ref().ok_or_else(|| Failure(ApiError::new(ErrorCode::NotFound, "this server keeps no sessions")))
}

fn id(param: &str, text: &str) -> Result<SessionId, Failure> {
    text.parse().map_err(|invalid| Failure(ApiError::param(param, format!("{invalid}"))))
}

fn not_found() -> Failure {
    let message =
        "no such session is kept: it did not ask for it (retention), could not be stored, has expired, or was deleted";
    Failure(ApiError::new(ErrorCode::NotFound, message))
}

/// The log is told what is wrong with which file, the client that something is.
fn unreadable(error: &StoreError) -> Failure {
    tracing::error!(%error, "kept sessions cannot be read");
    Failure(ApiError::new(ErrorCode::Internal, "kept sessions cannot be read now"))
}
