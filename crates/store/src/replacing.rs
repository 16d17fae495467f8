//! Which record of a session stands, when two workers had it.
//!
//! A record takes the place of another only if its [`Incarnation`](crate::Incarnation) is not smaller, and of none if the session
//! has a [tombstone](crate::tombstone). Looking and replacing are one step:
//!
//! * In a folder under a lock on the session's own folder, which goes with the process that holds it. A file system that
//!   cannot lock folders (some that are mounted from elsewhere) leaves a moment between the two.
//! * In a bucket by a condition: the record is written only over the one that was looked at (`If-Match`), or only where there
//!   is none (`If-None-Match`). A server that knows no such conditions is told apart by its refusal, or at once by
//!   `AWS_CONDITIONAL_PUT=disabled`; there, too, a moment is left in which a smaller one may come in between.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    time::{Duration, Instant},
};

use bytes::Bytes;
use object_store::{Error, ObjectStore, PutMode, PutOptions, UpdateVersion};
use tokio::time::sleep;

use crate::{
    Shelf, StoreError,
    bucket::Bucket,
    place::Place,
    session::SessionFile,
    spool::{Part, Spool},
    storage::Home,
};

/// Times that others may come in between before it is left for later.
const MOST_RACES: usize = 8;
/// For whoever replaces a record in a folder to be done with it. One that stands still in the middle of that keeps its lock, and
/// the other one waits in the spool.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at a lock: waiting for it would hold a thread.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Replaced {
    /// It is in its place now, and this one was before.
    Stands(Option<Box<SessionFile>>),
    /// Whoever had the session later has written this one, and it stays.
    Outdated(Box<SessionFile>),
    /// The session has a tombstone.
    Deleted,
    /// It was brought there before, and then removed.
    Removed,
}

/// The lock of a session's folder.
#[derive(Debug)]
pub(crate) enum Lock {
    /// Until it is dropped. `None` where there are no locks, as in a bucket.
    Taken(#[expect(dead_code, reason = "dropping it gives it back")] Option<File>),
    /// There is no such folder.
    Nowhere,
}

impl Shelf {
    /// Brings a record from the spool to its place, unless a greater one is there.
    pub(crate) async fn replace(
        &self,
        spool: &Spool,
        own: &SessionFile,
        place: &Place,
    ) -> Result<Replaced, StoreError> {
        match &self.storage.home {
            Home::Folder(_) => self.replace_in_folder(spool, own, place).await,
            Home::Bucket(_) => self.replace_in_bucket(spool, own, place).await,
        }
    }

    async fn replace_in_folder(&self, spool: &Spool, own: &SessionFile, place: &Place) -> Result<Replaced, StoreError> {
        let _lock = match self.lock(place).await? {
            taken @ Lock::Taken(_) => taken,
            // The transcript had just made the folder.
            Lock::Nowhere => return Ok(Replaced::Removed),
        };
        if self.is_buried(place).await? {
            return Ok(Replaced::Deleted);
        }
        let before = self.record(place).await?.and_then(|(before, _)| before);
        if let Some(before) = &before {
            if before.incarnation > own.incarnation {
                return Ok(Replaced::Outdated(before.clone()));
            }
            self.clear_note(before, Some(own), place).await?;
        }
        let is_there = self.adopt(spool, &own.spooled(), Part::Session, &place.session()).await?;
        Ok(if is_there { Replaced::Stands(before) } else { Replaced::Removed })
    }

    async fn replace_in_bucket(&self, spool: &Spool, own: &SessionFile, place: &Place) -> Result<Replaced, StoreError> {
        let (key, spooled) = (place.session(), spool.file(&own.spooled(), Part::Session));
        let content = match fs::read(&spooled) {
            Ok(content) => Bytes::from(content),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Replaced::Removed),
            Err(error) => return Err(StoreError::at(&spooled, error)),
        };
        let mut knows_conditions = true;
        for _ in 0..MOST_RACES {
            let (before, mode) = match self.record(place).await? {
                Some((before, version)) => (before, PutMode::Update(version)),
                None => (None, PutMode::Create),
            };
            if let Some(before) = &before {
                if before.incarnation > own.incarnation {
                    return Ok(Replaced::Outdated(before.clone()));
                }
                self.clear_note(before, Some(own), place).await?;
            }
            let mode = if knows_conditions { mode } else { PutMode::Overwrite };
            match self.storage.store.put_opts(&key, content.clone().into(), PutOptions::from(mode)).await {
                // It may have been deleted in between.
                Ok(_) if self.is_buried(place).await? => return Ok(Replaced::Deleted),
                Ok(_) => {
                    fs::remove_file(&spooled).map_err(|error| StoreError::at(&spooled, error))?;
                    return Ok(Replaced::Stands(before));
                }
                // Somebody was faster: who was it?
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                Err(error) if knows_conditions && Bucket::knows_no_conditions(&error) => knows_conditions = false,
                Err(error) => return Err(self.storage.error(&key, error)),
            }
        }
        let source = "others wrote it again and again".into();
        Err(StoreError::Io { path: self.storage.path(&key), source })
    }

    /// What stands there, and its version. One that cannot be read is replaced by any.
    async fn record(&self, place: &Place) -> Result<Option<(Option<Box<SessionFile>>, UpdateVersion)>, StoreError> {
        let key = place.session();
        let Some(found) = self.storage.open(&key).await? else { return Ok(None) };
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let content = found.bytes().await.map_err(|error| self.storage.error(&key, error))?;
        Ok(Some((serde_json::from_slice(&content).ok(), version)))
    }

    /// Removes the note of when a record was to be swept that does not stand, or is about not to: it would take with it the one
    /// that does, before its time.
    pub(crate) async fn clear_note(
        &self,
        gone: &SessionFile,
        stands: Option<&SessionFile>,
        place: &Place,
    ) -> Result<(), StoreError> {
        let note = |record: &SessionFile| record.summary.expires_at.map(|at| place.expiry(at));
        match note(gone) {
            Some(note_of_gone) if stands.and_then(note).as_ref() != Some(&note_of_gone) => {
                self.clear(&note_of_gone).await
            }
            _ => Ok(()),
        }
    }

    /// Removes the files beside a record that does not stand.
    pub(crate) async fn clear_files(&self, gone: &SessionFile, place: &Place) -> Result<(), StoreError> {
        self.clear(&place.transcript(gone.incarnation)).await?;
        self.clear(&place.audio(gone.incarnation)).await
    }

    /// Removes what there is of a record for which another one stands, or none.
    pub(crate) async fn give_way(
        &self,
        gone: &SessionFile,
        stands: Option<&SessionFile>,
        place: &Place,
    ) -> Result<(), StoreError> {
        self.clear_files(gone, place).await?;
        self.clear_note(gone, stands, place).await
    }

    /// The same for a record that was removed from its place, or from beside the one that stands, by whoever did not come to the end of
    /// it.
    pub(crate) async fn clear_remains(&self, gone: &SessionFile, place: &Place) -> Result<(), StoreError> {
        match self.record(place).await? {
            None => self.give_way(gone, None, place).await,
            Some((Some(stands), _)) if stands.incarnation != gone.incarnation => {
                self.give_way(gone, Some(&stands), place).await
            }
            // It is the one that stands. Or nobody can read which one that is.
            Some(_) => Ok(()),
        }
    }

    /// Locks the folder of a session, against whoever else replaces its record or deletes it.
    pub(crate) async fn lock(&self, place: &Place) -> Result<Lock, StoreError> {
        let Home::Folder(_) = &self.storage.home else { return Ok(Lock::Taken(None)) };
        let path = self.storage.path(&place.folder());
        match File::open(&path) {
            Ok(folder) => Ok(Lock::Taken(lock(folder).await?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Lock::Nowhere),
            Err(error) => Err(StoreError::at(path, error)),
        }
    }
}

/// Locked until it is dropped. `None` where there are no locks.
async fn lock(folder: File) -> Result<Option<File>, StoreError> {
    let begun = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => sleep(LOCK_PAUSE).await,
            Err(TryLockError::WouldBlock) => return Err(StoreError::TooSlow(LOCK_PATIENCE)),
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}
