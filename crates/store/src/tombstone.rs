//! That a session was deleted, for whoever comes later with a record of it.
//!
//! A worker that stood still, or could not reach the shelf, may have a part of a session that others have ended, kept and deleted
//! meanwhile. A tombstone tells it so: an empty object whose name holds nothing but whose session it was, and which.
//!
//! Whoever deletes makes the tombstone first and removes the record then; whoever brings a record looks for a tombstone when it
//! can no longer be missed:
//!
//! * In a folder under the lock that the one who deletes takes, too.
//! * In a bucket after it has brought the record, which it takes back then. What it has brought before the tombstone was there is
//!   removed by the one who deletes.
//!
//! A tombstone stands for [`STANDS`], and no record is brought that ended more than [`WAITS`] ago. So no record that ended before
//! the deletion comes after the tombstone has gone. A process that stands still for a month in the middle of a session, and goes on
//! then as if nothing had happened, is not covered: its record ends when it wakes up.

use std::time::{Duration, SystemTime};

use crate::{Shelf, StoreError, place::Place};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that a record waits in a spool, for a shelf that is away or for its own machine to come back. It is given up then.
pub(crate) const WAITS: Duration = Duration::from_secs(30 * DAY.as_secs());
/// A tombstone of a session: longer than any record waits. The day is for clocks that differ, and for whoever was just bringing one.
const STANDS: Duration = Duration::from_secs(WAITS.as_secs() + DAY.as_secs());

impl Shelf {
    /// Makes a tombstone, and before it the note that sweeps it.
    pub(crate) async fn bury(&self, place: &Place, now: SystemTime) -> Result<(), StoreError> {
        self.note(&place.tombstone_expiry(now + STANDS)).await?;
        self.note(&place.tombstone()).await
    }

    /// Whether the session was deleted.
    pub(crate) async fn is_buried(&self, place: &Place) -> Result<bool, StoreError> {
        Ok(self.storage.open(&place.tombstone()).await?.is_some())
    }
}
