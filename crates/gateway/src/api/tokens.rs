//! Single-use tokens.

use axum::{Extension, Json, extract::State, http::StatusCode, response::IntoResponse};

use super::Failure;
use crate::{auth::Principal, gateway::App};

/// A token for one session in the caller's name. The body is not read: there is nothing to choose.
pub(super) async fn issue(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
) -> Result<impl IntoResponse, Failure> {
    let token = app.auth.issue_token(&caller).map_err(Failure)?;
    Ok((StatusCode::CREATED, Json(token)))
}
