//! Batch jobs over HTTP: files in, transcripts out.
//!
//! An upload goes straight into the artifact store, piece by piece, and becomes a job in one transaction of the job store;
//! what happens then is others' work, and the gateway only reads how far it is. Each tenant sees its own jobs; another's
//! are not found.

mod admission;
mod audio;
mod create;
mod events;
mod export;
mod fetch;
mod fields;
mod follow;
mod form;
mod idempotency;
mod list;
mod manage;
mod openai;
mod pace;
mod places;
mod query;
mod read;
mod request;
mod settings;
mod tap;
mod tasks;
mod view;

use std::{fmt, sync::Arc};

use dalston_broker::Broker;
use dalston_engine_sdk::batch::Catalogue;
use dalston_protocol::{ApiError, ErrorCode, JobId};
use dalston_store::{Artifacts, JobRecord, JobStore, StoreError};
use tokio::sync::Semaphore;

use self::places::Places;
pub use self::settings::JobSettings;
pub(crate) use self::{
    audio::audio,
    create::{create, translate},
    events::events,
    fields::{form_schema, translation_schema},
    list::list,
    manage::{cancel, delete, rename, retry},
    openai::JobsCode,
    read::{dead, export, one},
    tasks::{artifact, artifacts, tasks},
};
use crate::{api::Failure, gateway::App};

/// What the batch API works with.
#[derive(Clone)]
pub struct Jobs {
    /// Jobs and their tasks.
    pub store: JobStore,
    /// Uploads and what became of them.
    pub artifacts: Artifacts,
    /// Wakes who waits for a job.
    pub broker: Arc<dyn Broker>,
    /// The engines of the pipeline: what `model=` and `language=` may be.
    pub engines: Catalogue,
    /// Limits.
    pub settings: JobSettings,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("engines", &self.engines).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// [`Jobs`] while they are served.
#[derive(Debug)]
pub(crate) struct Batch {
    jobs: Jobs,
    uploads: Places,
    followers: Arc<Semaphore>,
}

impl std::ops::Deref for Batch {
    type Target = Jobs;

    fn deref(&self) -> &Jobs {
        &self.jobs
    }
}

impl Batch {
    pub(crate) fn new(jobs: Jobs) -> Self {
        let uploads = Places::new(jobs.settings.max_uploads);
        let followers = Arc::new(Semaphore::new(jobs.settings.max_followers.min(Semaphore::MAX_PERMITS)));
        Self { jobs, uploads, followers }
    }

    /// The job, if it is this tenant's.
    async fn job(&self, tenant: &str, id: &JobId) -> Result<JobRecord, Failure> {
        self.store.job(tenant, id).await.map_err(unreadable)?.ok_or_else(not_found)
    }
}

/// The batch side of this server, if it has one.
fn batch(app: &App) -> Result<&Batch, Failure> {
    app.batch.as_ref().ok_or_else(|| {
        Failure(ApiError::new(ErrorCode::NotFound, "this server takes no files; it serves live sessions only"))
    })
}

fn job_id(text: &str) -> Result<JobId, Failure> {
    text.parse().map_err(|invalid| Failure(ApiError::param("id", format!("{invalid}"))))
}

fn not_found() -> Failure {
    Failure(ApiError::new(ErrorCode::NotFound, "no such job is here: it was deleted, has expired, or never was"))
}

/// The log is told what is wrong with what, the client that something is.
#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn unreadable(error: StoreError) -> Failure {
    tracing::error!(%error, "the job store does not answer");
    Failure(ApiError::new(ErrorCode::Unavailable, "jobs cannot be reached now; try again").retry_after(1.0))
}

/// A part of what a job wrote has gone, or cannot be read.
#[expect(clippy::needless_pass_by_value, reason = "stands in map_err")]
fn no_artifact(error: StoreError) -> Failure {
    if let StoreError::NoArtifact { .. } = error {
        let message = "this is not kept any more: the job did not ask for it (retention)";
        return Failure(ApiError::new(ErrorCode::NotFound, message));
    }
    tracing::error!(%error, "an artifact cannot be read");
    Failure(ApiError::new(ErrorCode::Unavailable, "what was stored for this job cannot be read now"))
}
