//! The shelf: finished sessions, in a folder or in a bucket.
//!
//! Who only reads and deletes needs nothing else, and any number of processes may. Whatever has content comes from the spool of
//! an [`Archive`](crate::Archive) whole; nothing is ever written in place.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::{Bytes, BytesMut};
use dalston_protocol::SessionId;
use futures_util::stream::BoxStream;
use object_store::{ObjectStoreExt, path::Path as Key};
use serde::de::DeserializeOwned;
use tokio::{fs::File, io::AsyncReadExt, sync::RwLock};

use crate::{
    Location, SessionSummary, StoreError, StoredSession, Transcript,
    artifacts::{PIECE, Upload},
    place::{Place, TenantFolder},
    session::SessionFile,
    spool::{Part, Spool, Spooled},
    storage::Storage,
};

/// A kept WAV file on its way out.
pub struct AudioStream {
    /// The whole length.
    pub bytes: u64,
    /// The file, in pieces. It stays readable to its end even if the session is deleted meanwhile, unless the connection to a
    /// bucket breaks.
    pub stream: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl std::fmt::Debug for AudioStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioStream").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Finished sessions. Cheap to clone; all clones are one shelf.
#[derive(Debug, Clone)]
pub struct Shelf {
    pub(crate) storage: Storage,
    neighbour: Option<Arc<Neighbour>>,
}

/// That the spool lies in the same folder, which no other process has open: files are moved in from there.
#[derive(Debug, Default)]
struct Neighbour {
    /// Removing the last file of a folder removes the folder, and must not do so between the making of it for a new file and
    /// the move of that file: whoever moves reads, whoever removes writes.
    folders: RwLock<()>,
    /// Counts the notes, to give each a name of its own in the spool.
    notes: AtomicU64,
}

impl Shelf {
    /// The shelf at this location. A folder is made if need be, for this user alone; a bucket must be there.
    ///
    /// # Errors
    /// As [`Artifacts::at`](crate::Artifacts::at).
    pub async fn at(location: &Location) -> Result<Self, StoreError> {
        Ok(Self { storage: Storage::at(location).await?.tidy()?, neighbour: None })
    }

    /// In a folder that this process has to itself, beside the spool.
    pub(crate) fn beside_spool(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { storage: Storage::folder(root, true)?, neighbour: Some(Arc::default()) })
    }

    /// A kept session of this tenant.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or any error of the storage.
    pub async fn get(&self, tenant: &str, id: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        let place = Place::of(TenantFolder::of(tenant), id);
        let mut looked_at = None;
        while let Some(SessionFile { incarnation, summary, .. }) = self.shown(tenant, &place).await? {
            let transcript: Option<Transcript> = self.parsed(&place.transcript(incarnation)).await?;
            if let Some(transcript) = transcript {
                return Ok(Some(StoredSession { summary, transcript }));
            }
            // Deleted in between; or replaced, and then the greater one has its own.
            if looked_at.replace(incarnation) == Some(incarnation) {
                break;
            }
        }
        Ok(None)
    }

    /// The WAV file of a kept session of this tenant, if it has one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or any error of the storage.
    pub async fn audio(&self, tenant: &str, id: &SessionId) -> Result<Option<AudioStream>, StoreError> {
        let place = Place::of(TenantFolder::of(tenant), id);
        match self.shown(tenant, &place).await? {
            Some(session) if session.summary.has_audio() => self.stream(&place.audio(session.incarnation)).await,
            _ => Ok(None),
        }
    }

    /// What ran, if this tenant may see it.
    pub(crate) async fn summary(&self, tenant: &str, place: &Place) -> Result<Option<SessionSummary>, StoreError> {
        Ok(self.shown(tenant, place).await?.map(|session| session.summary))
    }

    async fn shown(&self, tenant: &str, place: &Place) -> Result<Option<SessionFile>, StoreError> {
        let session: Option<SessionFile> = self.parsed(&place.session()).await?;
        let now = SystemTime::now();
        Ok(session.filter(|session| &*session.tenant == tenant && !session.summary.is_expired(now)))
    }

    /// Brings a file of the spool to its place. Doing it again after it was done does nothing. Whether it is there now: when
    /// neither place has it, it was brought there before and then removed.
    pub(crate) async fn adopt(&self, spool: &Spool, id: &Spooled, part: Part, key: &Key) -> Result<bool, StoreError> {
        match &self.neighbour {
            Some(neighbour) => {
                let _folders = neighbour.folders.read().await;
                self.move_in(&Spool::key(id, part), key).await
            }
            None => self.carry_in(&spool.file(id, part), key).await,
        }
    }

    async fn move_in(&self, spooled: &Key, key: &Key) -> Result<bool, StoreError> {
        match self.storage.store.rename(spooled, key).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => self.storage.has(key).await,
            Err(error) => Err(self.storage.error(key, error)),
        }
    }

    async fn carry_in(&self, spooled: &Path, key: &Key) -> Result<bool, StoreError> {
        let wrong = |error| StoreError::at(spooled, error);
        let mut file = match File::open(spooled).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.storage.has(key).await,
            Err(error) => return Err(wrong(error)),
        };
        let mut upload = Upload::begin(self.storage.clone(), key.to_string(), key.clone(), u64::MAX).await?;
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            if file.read_buf(&mut piece).await.map_err(wrong)? == 0 {
                break;
            }
            upload.write(piece.freeze()).await?;
        }
        upload.finish().await?;
        fs::remove_file(spooled).map_err(wrong)?;
        Ok(true)
    }

    /// Makes an empty object. Not in its place at once either: a folder's store that is killed while it writes leaves a
    /// remainder beside the object, and in the spool that is cleared away.
    pub(crate) async fn note(&self, key: &Key) -> Result<(), StoreError> {
        let Some(neighbour) = &self.neighbour else { return self.storage.put(key, Bytes::new()).await };
        let spooled = Spool::note_key(neighbour.notes.fetch_add(1, Ordering::Relaxed));
        let put = self.storage.store.put(&spooled, Bytes::new().into()).await;
        put.map_err(|error| self.storage.error(&spooled, error))?;
        let _folders = neighbour.folders.read().await;
        if self.move_in(&spooled, key).await? {
            return Ok(());
        }
        Err(StoreError::at(self.path(&spooled), ErrorKind::NotFound.into()))
    }

    /// A large object in pieces, if it is there.
    async fn stream(&self, key: &Key) -> Result<Option<AudioStream>, StoreError> {
        let found = self.storage.open(key).await?;
        Ok(found.map(|found| AudioStream { bytes: found.meta.size, stream: self.storage.pieces(found) }))
    }

    /// Whether it was there.
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let _folders = self.removing().await;
        self.storage.remove(key).await
    }

    /// Sees to it that it is not there.
    pub(crate) async fn clear(&self, key: &Key) -> Result<(), StoreError> {
        let _folders = self.removing().await;
        self.storage.clear(key).await.map(drop)
    }

    async fn removing(&self) -> Option<tokio::sync::RwLockWriteGuard<'_, ()>> {
        match &self.neighbour {
            Some(neighbour) => Some(neighbour.folders.write().await),
            None => None,
        }
    }

    /// The names of what is in a folder, last first.
    pub(crate) async fn folders(&self, folder: &Key) -> Result<Vec<String>, StoreError> {
        let mut names = self.storage.names(folder).await?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Every object below a folder, in no order.
    pub(crate) fn below<'a>(&'a self, folder: &'a Key) -> BoxStream<'a, Result<Key, StoreError>> {
        use futures_util::{StreamExt, TryStreamExt};
        self.storage.below(folder).map_ok(|found| found.location).boxed()
    }

    async fn parsed<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let Some(found) = self.storage.open(key).await? else { return Ok(None) };
        let content = found.bytes().await.map_err(|error| self.storage.error(key, error))?;
        let parsed = serde_json::from_slice(&content);
        parsed.map(Some).map_err(|error| StoreError::damaged(self.path(key), &error))
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.storage.path(key)
    }
}
