//! What goes on beside an attempt: the lease, the progress, and the reasons to stop.

use std::{convert::Infallible, future::pending, time::Duration};

use dalston_broker::Claim;
use dalston_store::Standing;
use futures_util::future::join4;
use tokio::time::{sleep, sleep_until, timeout};

use crate::{attempt::Attempt, station::Station, stop::Reason};

/// The least time between two looks at the store: progress is told no more often.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

impl Station {
    /// Keeps an attempt until it is dropped. Each part goes on by itself: a store that hangs must not cost the lease.
    pub(crate) async fn keep(&self, attempt: &Attempt, claim: &Claim) -> Infallible {
        let deadline = async {
            sleep_until(attempt.deadline).await;
            attempt.stop.request(Reason::Deadline);
            pending().await
        };
        let halt = async {
            self.halt.cancelled().await;
            attempt.stop.request(Reason::Shutdown);
            pending().await
        };
        let (never, ..): (Infallible, Infallible, Infallible, Infallible) =
            join4(self.renew(claim), self.look(attempt), deadline, halt).await;
        never
    }

    /// Prolongs the claim, three times as often as it must be.
    async fn renew(&self, claim: &Claim) -> Infallible {
        let every = self.settings.lease / 3;
        loop {
            sleep(every).await;
            match timeout(every, self.broker.renew(claim, self.settings.lease)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    // Whether somebody else has begun the task is for the store to say.
                    tracing::warn!("the lease of a message has ended before the work on it");
                    return pending().await;
                }
                Ok(Err(error)) => tracing::warn!(%error, "a lease could not be renewed"),
                Err(_) => tracing::warn!("the broker did not renew a lease in time"),
            }
        }
    }

    /// Tells the store how far the attempt is, and learns whether it is to go on: regularly, and sooner when it has
    /// moved.
    async fn look(&self, attempt: &Attempt) -> Infallible {
        let mut shown = 0.0;
        loop {
            let least = BETWEEN_LOOKS.min(self.settings.look);
            sleep(least).await;
            // It has moved, or it is time anyway.
            let _ = timeout(self.settings.look - least, attempt.progress.moved()).await;
            let done = attempt.progress.get();
            match self.store.progress(&attempt.task.id, attempt.task.attempt, done).await {
                Ok(Standing::Yours) if done > shown => {
                    shown = done;
                    self.notify(&attempt.job.id).await;
                }
                Ok(Standing::Yours) => {}
                Ok(Standing::Cancelled) => attempt.stop.request(Reason::Cancelled),
                Ok(Standing::Lost) => attempt.stop.request(Reason::Lost),
                Err(error) => tracing::warn!(%error, "the store does not say whether a task is to go on"),
            }
        }
    }
}
