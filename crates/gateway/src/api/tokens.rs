//! Single-use tokens.

use axum::{Extension, Json, body::Bytes, extract::State, http::StatusCode, response::IntoResponse};

use super::Failure;
use crate::{auth::Principal, gateway::App};

/// A token for one session in the caller's name. There is nothing to choose: the body is read to hold it to its limit.
pub(super) async fn issue(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    _body: Bytes,
) -> Result<impl IntoResponse, Failure> {
    let token = app.auth.issue_token(&caller).map_err(Failure)?;
    Ok((StatusCode::CREATED, Json(token)))
}
