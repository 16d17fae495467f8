//! The object store, in the few operations that the archive needs.
//!
//! Whatever has content is moved in from the spool whole; nothing is ever written in place.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use tokio::sync::RwLock;

use crate::{StoreError, spool::Spool};

/// A kept WAV file on its way out.
pub struct AudioStream {
    /// The whole length.
    pub bytes: u64,
    /// The file, in pieces. It stays readable to its end even if the session is deleted meanwhile.
    pub stream: BoxStream<'static, Result<Bytes, StoreError>>,
}

impl std::fmt::Debug for AudioStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioStream").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The store and where it stands.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    store: Arc<dyn ObjectStore>,
    /// Removing the last file of a folder removes the folder, and must not do so between the making of it for a new file and
    /// the move of that file: whoever moves reads, whoever removes writes.
    folders: RwLock<()>,
    /// Counts the notes, to give each a name of its own in the spool.
    notes: AtomicU64,
}

impl Shelf {
    /// A folder that exists.
    pub(crate) fn local(root: PathBuf) -> Result<Self, StoreError> {
        // Folders that hold nothing any more would have to be looked through by every list.
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| StoreError::of_object(&root, error))?
            .with_automatic_cleanup(true);
        Ok(Self { root, store: Arc::new(store), folders: RwLock::default(), notes: AtomicU64::new(0) })
    }

    /// Where an object stands, for messages.
    pub(crate) fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_ref())
    }

    /// Moves a file of the spool to its place. Doing it again after it was done does nothing.
    pub(crate) async fn adopt(&self, spooled: &Key, key: &Key) -> Result<(), StoreError> {
        let _folders = self.folders.read().await;
        match self.store.rename(spooled, key).await {
            Err(object_store::Error::NotFound { .. }) if self.store.head(key).await.is_ok() => Ok(()),
            moved => moved.map_err(|error| self.error(key, error)),
        }
    }

    /// Makes an empty object. Not in its place at once either: a local store that is killed while it writes leaves a
    /// remainder beside the object, and in the spool that is cleared away.
    pub(crate) async fn note(&self, key: &Key) -> Result<(), StoreError> {
        let spooled = Spool::note_key(self.notes.fetch_add(1, Ordering::Relaxed));
        self.store.put(&spooled, Bytes::new().into()).await.map_err(|error| self.error(&spooled, error))?;
        self.adopt(&spooled, key).await
    }

    /// The whole of a small object, if it is there.
    pub(crate) async fn read(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let Some(found) = self.found(key, self.store.get(key).await)? else { return Ok(None) };
        self.found(key, found.bytes().await)
    }

    /// A large object in pieces, if it is there.
    pub(crate) async fn stream(&self, key: &Key) -> Result<Option<AudioStream>, StoreError> {
        let Some(found) = self.found(key, self.store.get(key).await)? else { return Ok(None) };
        let (bytes, path) = (found.meta.size, self.path(key));
        let stream = found.into_stream().map_err(move |error| StoreError::of_object(&path, error)).boxed();
        Ok(Some(AudioStream { bytes, stream }))
    }

    /// Whether it was there.
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        let _folders = self.folders.write().await;
        Ok(self.found(key, self.store.delete(key).await)?.is_some())
    }

    /// The names of the folders in a folder, last first.
    pub(crate) async fn folders(&self, folder: &Key) -> Result<Vec<String>, StoreError> {
        let listed = self.store.list_with_delimiter(Some(folder)).await.map_err(|error| self.error(folder, error))?;
        let mut names: Vec<String> =
            listed.common_prefixes.iter().filter_map(|key| Some(key.filename()?.to_owned())).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Every object below a folder, in no order.
    pub(crate) fn below<'a>(&'a self, folder: &'a Key) -> BoxStream<'a, Result<Key, StoreError>> {
        let listed = self.store.list(Some(folder));
        listed.map(|meta| meta.map(|meta| meta.location).map_err(|error| self.error(folder, error))).boxed()
    }

    fn found<T>(&self, key: &Key, result: object_store::Result<T>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(key, error)),
        }
    }

    fn error(&self, key: &Key, error: object_store::Error) -> StoreError {
        StoreError::of_object(&self.path(key), error)
    }
}
