//! Taking a job in.

use dalston_protocol::job::JobStatus;

use super::{
    Created, JobStore, NewJob,
    edit::Edit,
    query::statement,
    row::{self, job_columns, to_json},
};
use crate::StoreError;

/// By `jobs_by_idempotency`. What was there first stays as it is, and is given back; writing to it waits for whoever is
/// about to make it, so of any number of equal requests at once one makes the job and all others find it.
const CREATE: &str = concat!(
    "INSERT INTO jobs (id, tenant, name, parameters, request_id, traceparent, source_key, source_file_name, ",
    "source_bytes, source_sha256, idempotency_key, idempotency_fingerprint, status, version, created_at, touched_at) ",
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, $14, $14) ",
    "ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL ",
    "DO UPDATE SET tenant = excluded.tenant RETURNING ",
    job_columns!(),
);

const KNOWS_KEY: &str = "SELECT id FROM jobs WHERE tenant = $1 AND idempotency_key = $2";

impl JobStore {
    /// Whether the tenant has a job that was made with this idempotency key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn knows_key(&self, tenant: &str, key: &str) -> Result<bool, StoreError> {
        let select = statement(KNOWS_KEY).bind(tenant).bind(key);
        Ok(select.fetch_optional(self.database.reader_of_new()).await?.is_some())
    }

    /// Keeps a job, and puts its planning into the outbox in the same moment.
    ///
    /// # Errors
    /// When the database fails; whether the job is kept is then unknown, and asking again with the same idempotency key
    /// tells.
    pub async fn create(&self, job: NewJob) -> Result<Created, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let NewJob { id, tenant, name, parameters, request_id, traceparent, source, idempotency } = job;
        let (key, fingerprint) = idempotency.map(|given| (given.key, given.fingerprint)).unzip();
        let query = statement(CREATE)
            .bind(id.as_str())
            .bind(tenant)
            .bind(name)
            .bind(to_json(&parameters))
            .bind(request_id.as_str())
            .bind(traceparent)
            .bind(source.key)
            .bind(source.file_name)
            .bind(i64::try_from(source.bytes).unwrap_or(i64::MAX))
            .bind(source.sha256)
            .bind(key)
            .bind(fingerprint.clone())
            .bind(JobStatus::Pending.as_str())
            .bind(edit.now);
        let kept = row::job(&query.fetch_one(&mut edit.transaction).await?)?;
        if kept.id != id {
            let first = kept.idempotency.as_ref().map(|first| &first.fingerprint);
            return Ok(if first == fingerprint.as_ref() { Created::Existing(kept) } else { Created::Conflict });
        }
        edit.publish_job(&id).await?;
        edit.finish().await?;
        Ok(Created::New(kept))
    }
}
