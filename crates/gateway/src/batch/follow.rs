//! To wait for what becomes of a job.

use std::time::Duration;

use dalston_broker::{Broker, Subscription};
use dalston_protocol::{ApiError, ErrorCode, JobId};
use dalston_store::{JobRecord, job_end_topic, job_topic};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout_at},
};

use super::Batch;
use crate::api::Failure;

/// Who waits looks this often even if nobody wakes it: a wake-up may be lost with a connection.
const LOOK: Duration = Duration::from_secs(2);
/// Shortest time between two looks, however often a job changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells whoever follows a job, and whoever waits for its end, to look. Lossy: they look by themselves too.
pub(super) async fn announce(broker: &dyn Broker, id: &JobId) {
    for topic in [job_topic(id), job_end_topic(id)] {
        if let Err(error) = broker.notify(&topic).await {
            tracing::debug!(%error, "nobody was woken");
        }
    }
}

/// A place among those who follow jobs, and the wake-ups of one.
#[derive(Debug)]
pub(super) struct Follower {
    woken: Option<Subscription>,
    /// How long it is left alone after a wake-up.
    pause: Duration,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// Of all that happens to the job.
    ///
    /// # Errors
    /// As many follow as may.
    pub(super) async fn of_changes(batch: &Batch, id: &JobId) -> Result<Self, Failure> {
        Self::of(batch, &job_topic(id), PAUSE).await
    }

    /// Subscribes first, so that nothing that happens after the first look is missed.
    async fn of(batch: &Batch, topic: &str, pause: Duration) -> Result<Self, Failure> {
        let place = batch.followers.clone().try_acquire_owned().map_err(|_| {
            let message = "as many requests wait for jobs as may; ask for the job's status instead";
            Failure(ApiError::new(ErrorCode::NoCapacity, message).retry_after(5.0))
        })?;
        // Without a broker, following is looking.
        let woken = batch.broker.subscribe(topic).await.ok();
        Ok(Self { woken, pause, _place: place })
    }

    /// Waits for the next reason to look.
    pub(super) async fn changed(&mut self) {
        let Some(woken) = &mut self.woken else { return sleep(LOOK).await };
        tokio::select! {
            woken = woken.next() => match woken {
                Some(()) => sleep(self.pause).await,
                None => {
                    self.woken = None;
                    sleep(LOOK).await;
                }
            },
            () = sleep(LOOK) => {}
        }
    }
}

/// Waits for the job's end, at most until `deadline`. Gives it as it then is.
///
/// # Errors
/// As many follow as may, the store does not answer, or the job was deleted meanwhile.
pub(super) async fn ended(batch: &Batch, job: &JobRecord, deadline: Instant) -> Result<JobRecord, Failure> {
    let mut follower = Follower::of(batch, &job_end_topic(&job.id), Duration::ZERO).await?;
    loop {
        let job = batch.job(&job.tenant, &job.id).await?;
        if job.status.is_terminal() || timeout_at(deadline, follower.changed()).await.is_err() {
            return Ok(job);
        }
    }
}
