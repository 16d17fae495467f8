//! How sessions go: on demand, or when their time is over.
//!
//! A session with an end has a note under the minute of that end, made before the session was. A sweep looks at the notes of
//! past minutes only, and needs to open no record. Whoever deletes a session before its time first makes its
//! [tombstone](crate::tombstone), and a note under the present minute, so that the next sweep finishes what a crash left half done.
//!
//! Any process may sweep, and several at once: what one finds gone, another has removed. Each may count it then.

use std::time::SystemTime;

use dalston_protocol::SessionId;
use futures_util::StreamExt;

use crate::{
    Shelf, StoreError,
    place::{self, Due, Minute, Place, TenantFolder},
};

impl Shelf {
    /// Deletes a kept session of this tenant. Whether there was one. It does not come back, whoever still has a record of it.
    ///
    /// # Errors
    /// Any error of the storage. A sweep of a later minute finishes what was begun; to be sure of it, delete it again.
    pub async fn delete(&self, tenant: &str, id: &SessionId) -> Result<bool, StoreError> {
        let place = Place::of(TenantFolder::of(tenant), id);
        let Some(summary) = self.summary(tenant, &place).await? else { return Ok(false) };
        let now = SystemTime::now();
        self.bury(&place, now).await?;
        let now = place.expiry(now);
        self.note(&now).await?;
        // Who has the lock may have looked before there was a tombstone. Whoever brings a record after this has not.
        let lock = self.lock(&place).await?;
        self.remove_session(&place).await?;
        drop(lock);
        for note in summary.expires_at.map(|at| place.expiry(at)).iter().chain([&now]) {
            self.clear(note).await?;
        }
        // Who saw the tombstone may have been faster to remove it.
        Ok(true)
    }

    /// Deletes what expired before the minute of `now`. The number of sessions deleted.
    ///
    /// # Errors
    /// The first error of the storage. It does not stop the others from being deleted, and its session's turn comes again with
    /// the next sweep.
    pub async fn sweep(&self, now: SystemTime) -> Result<usize, StoreError> {
        let current = Minute::of(now);
        let (mut swept, mut failure) = (0, None);
        for day in self.folders(&place::expiries(&[])).await? {
            if day.as_str() > current.day() {
                continue;
            }
            for minute in self.folders(&place::expiries(&[&day])).await? {
                if Minute::new(&day, &minute) >= current {
                    continue;
                }
                let folder = place::expiries(&[&day, &minute]);
                let mut notes = self.below(&folder);
                while let Some(note) = notes.next().await {
                    let note = note?;
                    let Some(due) = Due::of(&note) else { continue };
                    match self.sweep_one(&due).await {
                        Ok(was_there) => swept += usize::from(was_there),
                        Err(error) => {
                            failure.get_or_insert(error);
                            continue;
                        }
                    }
                    self.clear(&note).await?;
                }
            }
        }
        failure.map_or(Ok(swept), Err)
    }

    /// Whether there was a session.
    async fn sweep_one(&self, due: &Due) -> Result<bool, StoreError> {
        match due {
            Due::Session(place) => self.remove_session(place).await,
            Due::Tombstone(place) => {
                // Nothing is left of it, unless whoever deleted it was interrupted and did not come back.
                let was_there = self.remove_session(place).await?;
                self.clear(&place.tombstone()).await?;
                Ok(was_there)
            }
        }
    }

    /// Whether there was a session. Also finishes a deletion that was interrupted.
    pub(crate) async fn remove_session(&self, place: &Place) -> Result<bool, StoreError> {
        let was_there = self.remove(&place.session()).await?;
        // Of every incarnation: one may have been interrupted while it gave way to another.
        for name in self.folders(&place.folder()).await? {
            self.clear(&place.file(&name)).await?;
        }
        Ok(was_there)
    }
}
