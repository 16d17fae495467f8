//! Taking a job in.

use dalston_protocol::job::JobStatus;

use super::{
    Created, Idempotency, JobRecord, JobStore, NewJob, Outgoing,
    draft::Draft,
    query::{Query, statement},
    row::{self, from_millis, job_columns, to_json},
};
use crate::StoreError;

/// Of any number of equal requests at once one makes the job: writing waits, by `jobs_by_idempotency`, for whoever is about to
/// make it, and then leaves it as it is.
const CREATE: &str = "INSERT INTO jobs (id, tenant, name, parameters, request_id, traceparent, source_key, \
     source_file_name, source_bytes, source_sha256, idempotency_key, idempotency_fingerprint, status, version, created_at, \
     touched_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $14) \
     ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING";

/// By `jobs_by_idempotency`, too.
pub(super) const OF_KEY: &str =
    concat!("SELECT ", job_columns!(), " FROM jobs WHERE tenant = $1 AND idempotency_key = $2");

/// How often it is tried to make a job while others make and delete one of the same key.
const TRIES: usize = 4;

impl JobStore {
    /// Whether the tenant has a job that was made with this idempotency key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_key(&self, tenant: &str, key: &str) -> Result<bool, StoreError> {
        Ok(self.job_of_key(tenant, key).await?.is_some())
    }

    async fn job_of_key(&self, tenant: &str, key: &str) -> Result<Option<JobRecord>, StoreError> {
        let select = statement(OF_KEY).bind(tenant).bind(key);
        select.fetch_optional(self.database.reader_of_new()).await?.as_ref().map(row::job).transpose()
    }

    /// Keeps a job, and puts its planning into the outbox in the same moment.
    ///
    /// # Errors
    /// When the database fails; whether the job is kept is then unknown, and asking again with the same idempotency key
    /// tells.
    pub async fn create(&self, job: NewJob) -> Result<Created, StoreError> {
        for _ in 0..TRIES {
            let mut draft = Draft::new(self);
            draft.publish(&Outgoing::Job(job.id.clone()), draft.now);
            let now = draft.now;
            if draft.finish_with(insertion(&job, now)).await? {
                return Ok(Created::New(kept(job, now)));
            }
            // Only for the key's sake can it not have been made.
            let Some(Idempotency { key, fingerprint }) = &job.idempotency else { break };
            if let Some(first) = self.job_of_key(&job.tenant, key).await? {
                let is_same = first.idempotency.as_ref().is_some_and(|first| first.fingerprint == *fingerprint);
                return Ok(if is_same { Created::Existing(first) } else { Created::Conflict });
            }
        }
        Err(StoreError::Unavailable("the job of this idempotency key comes and goes".into()))
    }
}

fn insertion(job: &NewJob, now: i64) -> Query {
    let (key, fingerprint) = job.idempotency.as_ref().map(|given| (&*given.key, &*given.fingerprint)).unzip();
    statement(CREATE)
        .bind(job.id.as_str())
        .bind(&job.tenant)
        .bind(job.name.as_deref())
        .bind(to_json(&job.parameters))
        .bind(job.request_id.as_str())
        .bind(job.traceparent.as_deref())
        .bind(&job.source.key)
        .bind(job.source.file_name.as_deref())
        .bind(i64::try_from(job.source.bytes).unwrap_or(i64::MAX))
        .bind(&job.source.sha256)
        .bind(key)
        .bind(fingerprint)
        .bind(JobStatus::Pending.as_str())
        .bind(now)
}

/// What was kept of it.
fn kept(job: NewJob, now: i64) -> JobRecord {
    let NewJob { id, tenant, name, parameters, request_id, traceparent, source, idempotency } = job;
    JobRecord {
        id,
        tenant,
        name,
        parameters,
        request_id,
        traceparent,
        source,
        idempotency,
        status: JobStatus::Pending,
        version: 1,
        audio_duration: None,
        result: None,
        error: None,
        created_at: from_millis(now),
        started_at: None,
        ended_at: None,
        expires_at: None,
    }
}
