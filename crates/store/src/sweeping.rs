//! How sessions go: on demand, or when their time is over.
//!
//! A session with an end has a note under the hour of that end, made before the session was. A sweep looks at the notes of
//! past hours only, and needs to open no record. Whoever deletes a session without a note makes one first, so that the next
//! sweep finishes what a crash left half done.

use std::time::SystemTime;

use dalston_protocol::SessionId;
use futures_util::StreamExt;

use crate::{
    Archive, StoreError,
    place::{self, Hour, Place, TenantFolder},
};

impl Archive {
    /// Deletes a kept session of this tenant. Whether there was one. From the beginning of the deletion it is not found.
    ///
    /// # Errors
    /// Any error of the disk; a sweep of a later hour then finishes it.
    pub async fn delete(&self, tenant: &str, id: &SessionId) -> Result<bool, StoreError> {
        let shelf = &self.shared.shelf;
        let place = Place::of(TenantFolder::of(tenant), id);
        let Some(summary) = self.shared.summary(tenant, &place).await? else { return Ok(false) };
        let note = place.expiry(summary.expires_at.unwrap_or_else(SystemTime::now));
        if summary.expires_at.is_none() {
            shelf.note(&note).await?;
        }
        let deleted = self.remove(&place).await?;
        shelf.remove(&note).await?;
        Ok(deleted)
    }

    /// Deletes what expired before the hour of `now`. The number of sessions deleted.
    ///
    /// # Errors
    /// The first error of the disk. It does not stop the others from being deleted, and its session's turn comes again with
    /// the next sweep.
    pub async fn sweep(&self, now: SystemTime) -> Result<usize, StoreError> {
        let shelf = &self.shared.shelf;
        let current = Hour::of(now);
        let (mut swept, mut failure) = (0, None);
        for day in shelf.folders(&place::expiries(&[])).await? {
            if day.as_str() > current.day() {
                continue;
            }
            for hour in shelf.folders(&place::expiries(&[&day])).await? {
                if Hour::new(&day, &hour) >= current {
                    continue;
                }
                let folder = place::expiries(&[&day, &hour]);
                let mut notes = shelf.below(&folder);
                while let Some(note) = notes.next().await {
                    let note = note?;
                    let Some(place) = Place::of_expiry(&note) else { continue };
                    match self.remove(&place).await {
                        Ok(was_there) => swept += usize::from(was_there),
                        Err(error) => {
                            failure.get_or_insert(error);
                            continue;
                        }
                    }
                    shelf.remove(&note).await?;
                }
            }
        }
        failure.map_or(Ok(swept), Err)
    }

    /// Whether there was a session. Also finishes a deletion that was interrupted.
    async fn remove(&self, place: &Place) -> Result<bool, StoreError> {
        let shelf = &self.shared.shelf;
        let was_there = shelf.remove(&place.session()).await?;
        shelf.remove(&place.transcript()).await?;
        shelf.remove(&place.audio()).await?;
        Ok(was_there)
    }
}
