//! A folder or a bucket, in the few operations that artifacts and sessions need.

use std::{
    fs::DirBuilder,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};

use crate::{
    StoreError,
    artifacts::{INCOMING, LeftBehind, Upload},
    bucket::Bucket,
    location::{Access, Kind, Location},
};

/// Most names of a folder that are told.
const MAX_NAMES: usize = 100_000;

/// Objects under keys. A clone is the same storage.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) home: Home,
}

#[derive(Debug, Clone)]
pub(crate) enum Home {
    Folder(Arc<Path>),
    Bucket(Arc<Bucket>),
}

impl Storage {
    /// Makes the folder if need be, or asks whether the bucket can be used. Removes what processes left behind that were killed
    /// while they wrote.
    pub(crate) async fn at(location: &Location) -> Result<Self, StoreError> {
        let (name, prefix) = match &location.kind {
            Kind::Folder(root) => return Self::local(root, &LeftBehind::long_ago()),
            Kind::Bucket { name, prefix } => (name, prefix),
        };
        let access = location.access.clone().unwrap_or_else(Access::of_process);
        let bucket = Arc::new(Bucket::new(name, prefix, &access)?);
        let storage = Self { store: bucket.store.clone(), home: Home::Bucket(bucket) };
        // Also the question whether the bucket is there and may be read.
        LeftBehind::long_ago().clear(&storage).await?;
        Ok(storage)
    }

    /// The same for a folder.
    pub(crate) fn local(root: &Path, left_behind: &LeftBehind) -> Result<Self, StoreError> {
        let incoming = root.join(INCOMING);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&incoming);
        made.map_err(|error| StoreError::at(&incoming, error))?;
        left_behind.clear_folder(root)?;
        Self::folder(root, false)
    }

    /// A folder that is there. `tidies`: folders go with the last file in them.
    pub(crate) fn folder(root: &Path, tidies: bool) -> Result<Self, StoreError> {
        let store = LocalFileSystem::new_with_prefix(root).map_err(|error| StoreError::of_object(root, error))?;
        Ok(Self { store: Arc::new(store.with_automatic_cleanup(tidies)), home: Home::Folder(root.into()) })
    }

    /// The same, whose folders go with the last file in them: whoever lists need not look through empty ones.
    pub(crate) fn tidy(self) -> Result<Self, StoreError> {
        match &self.home {
            Home::Folder(root) => Self::folder(root, true),
            Home::Bucket(_) => Ok(self),
        }
    }

    /// Where an object stands, for messages.
    pub(crate) fn path(&self, key: &Key) -> PathBuf {
        match &self.home {
            Home::Folder(root) => root.join(key.as_ref()),
            Home::Bucket(bucket) => bucket.path(key).into(),
        }
    }

    pub(crate) fn error(&self, key: &Key, error: object_store::Error) -> StoreError {
        match &self.home {
            Home::Folder(_) => StoreError::of_object(&self.path(key), error),
            Home::Bucket(bucket) => bucket.error(key, &error),
        }
    }

    /// `None` when there is no such object, and not when there is no bucket.
    pub(crate) fn found<T>(&self, key: &Key, result: object_store::Result<T>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self.is_missing(&error) => Ok(None),
            Err(error) => Err(self.error(key, error)),
        }
    }

    fn is_missing(&self, error: &object_store::Error) -> bool {
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        is_missing && !(matches!(self.home, Home::Bucket(_)) && Bucket::is_missing(error))
    }

    pub(crate) async fn open(&self, key: &Key) -> Result<Option<GetResult>, StoreError> {
        self.found(key, self.store.get(key).await)
    }

    pub(crate) async fn has(&self, key: &Key) -> Result<bool, StoreError> {
        if let Home::Bucket(bucket) = &self.home {
            return bucket.has(key).await;
        }
        Ok(self.found(key, self.store.head(key).await)?.is_some())
    }

    /// An object that was opened, in pieces.
    pub(crate) fn pieces(&self, opened: GetResult) -> BoxStream<'static, Result<Bytes, StoreError>> {
        let (storage, key) = (self.clone(), opened.meta.location.clone());
        opened.into_stream().map_err(move |error| storage.error(&key, error)).boxed()
    }

    /// Keeps the whole of a small object, in one step.
    pub(crate) async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), StoreError> {
        let mut upload = Upload::begin(self.clone(), key.to_string(), key.clone(), u64::MAX).await?;
        upload.write(bytes).await?;
        upload.finish().await.map(drop)
    }

    /// Every object below a folder, in no order.
    pub(crate) fn below<'a>(&'a self, folder: &'a Key) -> BoxStream<'a, Result<ObjectMeta, StoreError>> {
        self.store.list(Some(folder)).map_err(|error| self.error(folder, error)).boxed()
    }

    /// The names that come next after these, of files and of folders; of more than 100,000 the first of a bucket, any of a
    /// folder.
    pub(crate) async fn names(&self, folder: &Key) -> Result<Vec<String>, StoreError> {
        if let Home::Bucket(bucket) = &self.home {
            return bucket.names(folder, MAX_NAMES).await;
        }
        let path = self.path(folder);
        let wrong = |error| StoreError::at(&path, error);
        let mut names = Vec::new();
        let mut entries = match tokio::fs::read_dir(&path).await {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(names),
            Err(error) => return Err(wrong(error)),
        };
        while let Some(entry) = entries.next_entry().await.map_err(wrong)?
            && names.len() < MAX_NAMES
        {
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    /// Whether it was there. When several remove it at once, more than one may be told so.
    pub(crate) async fn remove(&self, key: &Key) -> Result<bool, StoreError> {
        // A bucket does not say.
        let was_there = matches!(self.home, Home::Folder(_)) || self.has(key).await?;
        Ok(was_there && self.clear(key).await?)
    }

    /// Sees to it that there is no such object. A folder says whether there was.
    pub(crate) async fn clear(&self, key: &Key) -> Result<bool, StoreError> {
        Ok(self.found(key, self.store.delete(key).await)?.is_some())
    }
}
