//! `/v1/webhooks`: who is told of a tenant's jobs' ends.

use std::time::{Duration, SystemTime};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    response::IntoResponse,
    routing::{delete, get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use dalston_egress::Client;
use dalston_protocol::{
    ApiError, ErrorCode, Webhook, WebhookDelivery, WebhookDeliveryList, WebhookEvent, WebhookId, WebhookList,
    key::Scope,
};
use dalston_store::{JobStore, MAX_WEBHOOKS, NewWebhook, SigningSecret, StoreError, Told, WebhookRecord};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Access, Failure, Route, object, reads, route};
use crate::{auth::Principal, gateway::App};

/// Whoever may make jobs may have their ends told.
const OWN: Access = Access::AnyOf(&[Scope::Batch]);
/// Random bytes of a secret; the standard asks for 24 to 64.
const SECRET_BYTES: usize = 32;
/// How long messages are still signed with a secret that was replaced: long enough to tell all receivers.
const ROTATION: Duration = Duration::from_secs(24 * 3600);
/// Longest URL.
const MAX_URL: usize = 2048;
/// Most deliveries in a list.
const MAX_DELIVERIES: u32 = 100;

pub(super) fn table() -> Vec<Route> {
    vec![
        route("GET, POST", "/v1/webhooks", OWN, "who is told of your jobs' ends", get(list).post(create)),
        route("DELETE", "/v1/webhooks/{id}", OWN, "have one told nothing more", delete(remove)),
        reads("/v1/webhooks/{id}/deliveries", OWN, "what became of its messages", get(deliveries)),
        route("POST", "/v1/webhooks/{id}/rotate", OWN, "another secret for it", post(rotate)),
    ]
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    url: String,
    events: Option<Vec<WebhookEvent>>,
}

async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    body: Bytes,
) -> Result<impl IntoResponse, Failure> {
    let (store, client) = parts(&app)?;
    let wanted = object(&body, r#"{"url": "https://example.org/hook", "events": ["job.completed"]}"#)?;
    let new = checked(wanted, client, caller.tenant().to_string()).map_err(Failure)?;
    let secret = new.secret.reveal().to_owned();
    let Some(record) = store.add_webhook(new).await.map_err(unreadable)? else {
        let message = format!("there may be {MAX_WEBHOOKS} webhooks; delete one first");
        return Err(Failure(ApiError::new(ErrorCode::WrongStatus, message)));
    };
    Ok((StatusCode::CREATED, Json(Webhook { secret: Some(secret), ..view(record) })))
}

async fn list(State(app): State<App>, Extension(caller): Extension<Principal>) -> Result<Json<WebhookList>, Failure> {
    let records = parts(&app)?.0.webhooks(&caller.tenant()).await.map_err(unreadable)?;
    Ok(Json(WebhookList { items: records.into_iter().map(view).collect() }))
}

async fn remove(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let removed = parts(&app)?.0.remove_webhook(&caller.tenant(), &webhook_id(&id)?).await.map_err(unreadable)?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(not_found()) }
}

async fn deliveries(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<WebhookDeliveryList>, Failure> {
    let store = parts(&app)?.0;
    let told = store.told(&caller.tenant(), &webhook_id(&id)?, MAX_DELIVERIES).await.map_err(unreadable)?;
    let items = told.ok_or_else(not_found)?.into_iter().map(delivery).collect();
    Ok(Json(WebhookDeliveryList { items }))
}

async fn rotate(
    State(app): State<App>,
    Extension(caller): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let (id, secret) = (webhook_id(&id)?, new_secret());
    let until = SystemTime::now() + ROTATION;
    let store = parts(&app)?.0;
    if !store.rotate_webhook(&caller.tenant(), &id, &secret, until).await.map_err(unreadable)? {
        return Err(not_found());
    }
    Ok(Json(json!({ "id": id, "secret": secret.reveal() })))
}

fn checked(wanted: Wanted, client: &Client, tenant: String) -> Result<NewWebhook, ApiError> {
    let Wanted { url, events } = wanted;
    if url.len() > MAX_URL {
        return Err(ApiError::param("url", format!("url is longer than {MAX_URL} bytes")));
    }
    // Where its host is, is looked up at each delivery: it may move.
    client.check(&url).map_err(|error| ApiError::param("url", format!("url {error}")))?;
    let mut events = events.unwrap_or_else(|| WebhookEvent::ALL.into());
    let mut seen = Vec::new();
    events.retain(|event| {
        !seen.contains(event) && {
            seen.push(*event);
            true
        }
    });
    if events.is_empty() {
        return Err(ApiError::param("events", "events is empty; leave it away to be told of every end"));
    }
    Ok(NewWebhook { tenant, url, events, secret: new_secret() })
}

fn new_secret() -> SigningSecret {
    let random: [u8; SECRET_BYTES] = rand::random();
    SigningSecret::new(format!("whsec_{}", STANDARD.encode(random)))
}

fn delivery(told: Told) -> WebhookDelivery {
    WebhookDelivery {
        id: told.id,
        job_id: told.job,
        attempts: told.attempts,
        created_at: time(told.created_at),
        next_attempt_at: told.due_at.map(time),
        ended_at: told.ended_at.map(time),
        answered: told.status,
        problem: told.problem,
    }
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

fn view(record: WebhookRecord) -> Webhook {
    Webhook {
        id: record.id,
        url: record.url,
        events: record.events,
        created_at: time(record.created_at),
        disabled_at: record.disabled_at.map(time),
        secret: None,
    }
}

/// What webhooks need of this server, if it has all of it.
fn parts(app: &App) -> Result<(&JobStore, &Client), Failure> {
    let store = app.batch.as_ref().map(|batch| &batch.store);
    store
        .zip(app.egress.as_ref())
        .ok_or_else(|| Failure(ApiError::new(ErrorCode::NotFound, "this server tells nobody of jobs' ends")))
}

fn webhook_id(text: &str) -> Result<WebhookId, Failure> {
    text.parse().map_err(|invalid| Failure(ApiError::param("id", format!("{invalid}"))))
}

fn not_found() -> Failure {
    Failure(ApiError::new(ErrorCode::NotFound, "there is no such webhook"))
}

#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unreadable(error: StoreError) -> Failure {
    tracing::error!(%error, "the webhooks cannot be reached");
    Failure(ApiError::new(ErrorCode::Unavailable, "webhooks cannot be reached now; try again").retry_after(1.0))
}
