//! The routes of the batch API.

use axum::routing::{get, patch, post};
use dalston_protocol::key::Scope;

use super::{Access, Route, reads, route};
use crate::batch;

/// Whoever may upload may also read and end what was uploaded with the same key, and nothing of others.
const OWN: Access = Access::AnyOf(&[Scope::Batch]);

pub(super) fn table() -> Vec<Route> {
    let mut table = vec![
        route(
            "GET, POST",
            "/v1/audio/transcriptions",
            OWN,
            "your jobs; upload a file to make one",
            get(batch::list).post(batch::create),
        ),
        route("POST", "/v1/audio/translations", OWN, "the same in English, in OpenAI's way", post(batch::translate)),
        reads("/v1/audio/transcriptions/dead", OWN, "tasks that failed for good, to be tried again", get(batch::dead)),
        route(
            "GET, PATCH, DELETE",
            "/v1/audio/transcriptions/{id}",
            OWN,
            "one job, with its transcript; rename it; delete it when it has ended",
            get(batch::one).merge(patch(batch::rename)).delete(batch::delete),
        ),
        route("POST", "/v1/audio/transcriptions/{id}/cancel", OWN, "end a job", post(batch::cancel)),
        route("POST", "/v1/audio/transcriptions/{id}/retry", OWN, "another try at one that failed", post(batch::retry)),
        reads("/v1/audio/transcriptions/{id}/events", OWN, "its progress, as server-sent events", get(batch::events)),
        reads(
            "/v1/audio/transcriptions/{id}/export/{format}",
            OWN,
            "its transcript as txt, srt, vtt or json",
            get(batch::export),
        ),
        reads("/v1/audio/transcriptions/{id}/audio", OWN, "its upload, whole or a range of bytes", get(batch::audio)),
        reads("/v1/audio/transcriptions/{id}/tasks", OWN, "its tasks, with waits and attempts", get(batch::tasks)),
        reads(
            "/v1/audio/transcriptions/{id}/tasks/{task}/artifacts",
            OWN,
            "what a task has written",
            get(batch::artifacts),
        ),
        reads(
            "/v1/audio/transcriptions/{id}/tasks/{task}/artifacts/{*name}",
            OWN,
            "one of these",
            get(batch::artifact),
        ),
    ];
    // Uploads and waits have limits of their own (`JobSettings`); reading is bounded as everywhere.
    for upload in &mut table[..2] {
        upload.keeps_time = true;
    }
    table
}
