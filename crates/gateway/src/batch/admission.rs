//! Whether a caller may have one more job.

use dalston_protocol::{ApiError, ErrorCode};

use super::{Batch, unreadable};
use crate::{
    api::Failure,
    auth::{Principal, Seat},
};

/// How long a client at its limit is told to wait: jobs end in seconds or minutes.
const RETRY_AFTER: f64 = 5.0;

/// A place for an upload that is to become a job. It is held until there is one: of any number of uploads at once, no more
/// become jobs than may. A second gateway may let in as many more as it takes in at that moment.
///
/// A request whose idempotency key has its job already makes no other, and is let in however many jobs are open.
pub(super) async fn upload(batch: &Batch, caller: &Principal, key: Option<&str>) -> Result<Seat, Failure> {
    let seat = caller.begin_upload().map_err(Failure)?;
    if let (Some(key), Some(_)) = (key, caller.max_jobs())
        && batch.store.knows_key(&caller.tenant(), key).await.map_err(unreadable)?
    {
        return Ok(seat);
    }
    // This upload is among them.
    job(batch, caller, caller.uploads()).await?;
    Ok(seat)
}

/// Refuses `more` jobs when the caller's tenant would have more of them open than it may.
///
/// # Errors
/// [`ErrorCode::RateLimited`], naming the limit.
pub(super) async fn job(batch: &Batch, caller: &Principal, more: u32) -> Result<(), Failure> {
    let Some(most) = caller.max_jobs() else { return Ok(()) };
    let open = batch.store.open_jobs_of(&caller.tenant(), most).await.map_err(unreadable)?;
    if open.saturating_add(more) <= most {
        return Ok(());
    }
    let message = format!("{most} jobs may be open with this key (max_jobs); wait until one has ended, or cancel one");
    Err(Failure(ApiError::new(ErrorCode::RateLimited, message).retry_after(RETRY_AFTER)))
}
