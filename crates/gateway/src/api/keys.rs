//! `/auth/keys`: who may use the server. For administrators, who see the keys of all tenants.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    response::IntoResponse,
    routing::{delete, get},
};
use dalston_protocol::{
    ApiError, ErrorCode,
    key::{Key, KeyList, NewKey, Scope},
};
use dalston_store::{KeyStore, MAX_KEYS, StoreError};
use http::StatusCode;

use super::{Access, Failure, Route, object, route};
use crate::{
    auth::{ApiKey, Principal, ServerSecret},
    gateway::App,
};

const ADMIN: Access = Access::AnyOf(&[Scope::Admin]);

pub(super) fn table() -> Vec<Route> {
    vec![
        route("GET, POST", "/auth/keys", ADMIN, "who may use the server; a key for another", get(list).post(create)),
        route("DELETE", "/auth/keys/{id}", ADMIN, "take a key back", delete(revoke)),
    ]
}

async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    body: Bytes,
) -> Result<impl IntoResponse, Failure> {
    let (store, secret) = parts(&app)?;
    let wanted: NewKey = object(&body, r#"{"name": "laptop", "scopes": ["realtime", "batch"]}"#)?;
    wanted.check().map_err(Failure)?;
    let key = ApiKey::generate(secret, wanted);
    let Some(record) = store.add(key.record().clone()).await.map_err(unreadable)? else {
        let message = format!("there may be {MAX_KEYS} keys; take one back first");
        return Err(Failure(ApiError::new(ErrorCode::WrongStatus, message)));
    };
    tracing::info!(key = record.id, by = &*caller.tenant(), "a key was made");
    learn(&app).await;
    Ok((StatusCode::CREATED, Json(Key { key: Some(key.expose().to_owned()), ..record.into() })))
}

async fn list(State(app): State<App>) -> Result<Json<KeyList>, Failure> {
    let keys = parts(&app)?.0.list().await.map_err(unreadable)?;
    Ok(Json(KeyList { items: keys.into_iter().map(Key::from).collect() }))
}

async fn revoke(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    if !parts(&app)?.0.revoke(&id).await.map_err(unreadable)? {
        return Err(Failure(ApiError::new(ErrorCode::NotFound, "there is no such key, or it was taken back before")));
    }
    tracing::info!(key = id, by = &*caller.tenant(), "a key was taken back");
    learn(&app).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What was done is done; should it not be learned now, it is a second later.
async fn learn(app: &App) {
    if let Err(error) = app.auth.keys_changed().await {
        tracing::info!(%error, "a change of keys is learned of later");
    }
}

fn parts(app: &App) -> Result<(&KeyStore, &ServerSecret), Failure> {
    app.auth.keys().ok_or_else(|| Failure(ApiError::new(ErrorCode::NotFound, "this server keeps no keys")))
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unreadable(error: StoreError) -> Failure {
    tracing::error!(%error, "the keys cannot be reached");
    Failure(ApiError::new(ErrorCode::Unavailable, "keys cannot be reached now; try again").retry_after(1.0))
}
