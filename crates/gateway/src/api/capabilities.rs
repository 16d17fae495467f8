//! What runs, what it can do, and what is free.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
};
use dalston_engine_sdk::batch::EngineInfo;
use dalston_protocol::{ApiError, ErrorCode};
use dalston_session_router::{Health, WorkerStatus};
use serde_json::{Value, json};

use super::Failure;
use crate::gateway::App;

/// When a model was made, for clients whose types want it: it is not known here.
const CREATED: u64 = 0;
const OWNER: &str = "dalston";

pub(super) async fn status(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let workers = all_workers(&app).await?;
    let ready = workers.iter().filter(|worker| worker.health == Health::Ready).count();
    let capacity: usize = workers.iter().map(|worker| worker.capacity).sum();
    let used: usize = workers.iter().map(|worker| worker.used).sum();
    let free: usize = workers.iter().map(WorkerStatus::free).sum();
    let status = match (app.draining.is_cancelled(), ready, free) {
        (true, ..) => "draining",
        (false, 0, _) => "unavailable",
        (false, _, 0) => "full",
        _ => "ready",
    };
    Ok(Json(json!({
        "status": status,
        "sessions": { "used": used, "free": free, "capacity": capacity },
        "workers": { "ready": ready, "total": workers.len() },
        "version": env!("CARGO_PKG_VERSION"),
    })))
}

pub(super) async fn workers(State(app): State<App>) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "workers": all_workers(&app).await? })))
}

/// In the shape of OpenAI's list, which its SDK reads.
pub(super) async fn models(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let models = models_by_id(&app).await?;
    Ok(Json(json!({ "object": "list", "data": models.into_values().collect::<Vec<_>>() })))
}

/// One of that list, or what a name of another service's model means here.
pub(super) async fn model(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Failure> {
    if let Some(model) = models_by_id(&app).await?.remove(&id) {
        return Ok(Json(model));
    }
    if app.batch.as_ref().is_some_and(|batch| batch.settings.alias(&id).is_some()) {
        return Ok(Json(json!({ "id": id, "object": "model", "created": CREATED, "owned_by": OWNER })));
    }
    let error = ApiError::new(ErrorCode::ModelNotFound, "there is no such model; GET /v1/models lists what there is");
    Err(Failure(ApiError { param: Some("model".into()), ..error }))
}

async fn models_by_id(app: &App) -> Result<BTreeMap<String, Value>, Failure> {
    let mut by_id = BTreeMap::new();
    let workers = all_workers(app).await?;
    let live = living(&workers).flat_map(|worker| &worker.engines);
    let batch = of_jobs(app);
    for engine in live.chain(batch.iter().filter_map(|engine| engine.capabilities.as_ref())) {
        by_id.entry(engine.engine_id.clone()).or_insert_with(|| {
            json!({
                "id": engine.engine_id, "object": "model", "created": CREATED, "owned_by": OWNER,
                "model": engine.model, "languages": engine.languages,
            })
        });
    }
    Ok(by_id)
}

/// The capability records as the engines' authors wrote them, with how many workers run each; then the engines that work
/// on jobs, with their stages.
pub(super) async fn engines(State(app): State<App>) -> Result<Json<Value>, Failure> {
    let workers = all_workers(&app).await?;
    let mut by_id: BTreeMap<(&str, &str), (Value, usize)> = BTreeMap::new();
    for engine in living(&workers).flat_map(|worker| &worker.engines) {
        let entry = by_id.entry((&engine.engine_id, &engine.model)).or_insert_with(|| (json!(engine), 0));
        entry.1 += 1;
    }
    let engines: Vec<Value> = by_id
        .into_values()
        .map(|(mut engine, workers)| {
            engine["workers"] = workers.into();
            engine
        })
        .collect();
    let batch: Vec<Value> = of_jobs(&app)
        .iter()
        .map(|engine| {
            json!({
                "engine_id": engine.engine_id, "stage": engine.stage, "concurrency": engine.concurrency,
                "capabilities": engine.capabilities,
            })
        })
        .collect();
    Ok(Json(json!({ "engines": engines, "batch": batch })))
}

/// The engines of the pipeline, if files are taken.
fn of_jobs(app: &App) -> Arc<[EngineInfo]> {
    app.batch.as_ref().map(|batch| batch.engines.now()).unwrap_or_default()
}

fn living(workers: &[WorkerStatus]) -> impl Iterator<Item = &WorkerStatus> {
    workers.iter().filter(|worker| worker.health != Health::Lost)
}

async fn all_workers(app: &App) -> Result<Vec<WorkerStatus>, Failure> {
    app.router.workers().await.map_err(|unavailable| {
        tracing::warn!(%unavailable, "workers cannot be listed");
        Failure(ApiError::new(ErrorCode::NoCapacity, "workers cannot be looked up").retry_after(1.0))
    })
}
