//! Artifacts: what jobs are made of and what they leave, from the upload to the transcript.
//!
//! An artifact has a key, names parted by `/`; all that belongs to a job begins with `jobs/<job>/`. It is there whole or not
//! at all: what is being written lies elsewhere, and the last step moves it to its place. Writing a key again replaces the
//! artifact in one step.
//!
//! They lie in a folder of this machine or in a bucket, as a [`Location`] says. Whoever writes or reads holds [`PIECE`] bytes
//! at a time, or two [`PART`]s on the way into a bucket, however large the artifact is.
//!
//! Killing the process at any moment loses nothing that was [stored](Stored) and shows nothing that was not. In a folder, data
//! reaches the disk itself when the system writes it there: a power cut may take what was stored in its last seconds.

mod key;
mod left_behind;
mod local;
mod parts;
mod upload;

pub(crate) use key::is_name;
pub(crate) use left_behind::LeftBehind;
pub use parts::PART;
pub use upload::{PIECE, Stored, Upload};

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use dalston_protocol::JobId;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::GetResult;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};

use local::LocalFile;

use crate::{
    Location, StoreError,
    storage::{Home, Storage},
};

/// Where artifacts lie while they are written.
pub(crate) const INCOMING: &str = "incoming";
/// Most artifacts that are listed.
const MAX_LISTED: usize = 10_000;

/// What the keys of all artifacts of a job begin with, before a `/`.
pub fn job_folder(job: &JobId) -> String {
    format!("jobs/{job}")
}

/// The same for a node of its graph; each attempt at it has a folder below.
pub fn node_folder(job: &JobId, node: &str) -> String {
    format!("{}/{node}", job_folder(job))
}

/// `output.json` of a task: what it came to, and where its files are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskOutputFile {
    /// The result.
    pub result: Value,
    /// Keys of artifacts, by the names that the task gave its files.
    pub files: BTreeMap<String, String>,
}

/// The artifacts. A clone is the same store.
#[derive(Debug, Clone)]
pub struct Artifacts {
    storage: Storage,
}

impl Artifacts {
    /// The artifacts at this location. A folder is made if need be, for this user alone; a bucket must be there. What processes
    /// left behind that were killed while they wrote is removed when it is a day old.
    ///
    /// # Errors
    /// When the folder cannot be used. For a bucket [`StoreError::InvalidLocation`] when the environment says something odd,
    /// [`StoreError::NoBucket`], [`StoreError::Denied`] or [`StoreError::Unreachable`], which name what to mend.
    pub async fn at(location: &Location) -> Result<Self, StoreError> {
        Ok(Self { storage: Storage::at(location).await? })
    }

    /// The artifacts in a folder of this machine.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn local(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { storage: Storage::local(root, &LeftBehind::long_ago())? })
    }

    /// As [`local`](Self::local), by the only process that writes there: all that is half written was left behind by one
    /// that is gone, and is removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn local_alone(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { storage: Storage::local(root, &LeftBehind::all())? })
    }

    /// Removes what processes left behind that were killed more than a day ago while they wrote. How many artifacts that would
    /// have been. Any process may do so now and then, several at once, too.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn clear_left_behind(&self) -> Result<usize, StoreError> {
        LeftBehind::long_ago().clear(&self.storage).await
    }

    /// Begins to write an artifact of at most so many bytes.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the storage fails.
    pub async fn writer(&self, key: &str, max_bytes: u64) -> Result<Upload, StoreError> {
        let place = key::of_artifact(key)?;
        Upload::begin(self.storage.clone(), key.to_owned(), place, max_bytes).await
    }

    /// Keeps bytes that are in memory already.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Stored, StoreError> {
        if let Some(file) = self.file(key)? {
            return file.put(bytes.into()).await;
        }
        let mut upload = self.writer(key, u64::MAX).await?;
        upload.write(bytes.into()).await?;
        upload.finish().await
    }

    /// Keeps a copy of a local file.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), and when the file cannot be read.
    pub async fn put_file(&self, key: &str, path: &Path) -> Result<Stored, StoreError> {
        let wrong = |error| StoreError::at(path, error);
        let mut upload = self.writer(key, u64::MAX).await?;
        let mut file = File::open(path).await.map_err(wrong)?;
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            if file.read_buf(&mut piece).await.map_err(wrong)? == 0 {
                return upload.finish().await;
            }
            upload.write(piece.freeze()).await?;
        }
    }

    /// A small artifact whole.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], [`StoreError::TooLarge`] if it has more bytes than that, and when the storage fails.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        if let Some(file) = self.file(key)? {
            return file.get(max_bytes).await;
        }
        let found = self.open(key).await?;
        if found.meta.size > max_bytes {
            return Err(StoreError::TooLarge { key: key.into(), limit: max_bytes });
        }
        let place = found.meta.location.clone();
        found.bytes().await.map_err(|error| self.storage.error(&place, error))
    }

    /// Copies an artifact into a local file, replacing what is there. How many bytes it has.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], and when the storage or the disk fails; what is in the file is of no use then.
    pub async fn fetch(&self, key: &str, to: &Path) -> Result<u64, StoreError> {
        let wrong = |error| StoreError::at(to, error);
        let (bytes, mut stream) = self.stream(key).await?;
        let mut file = File::create(to).await.map_err(wrong)?;
        while let Some(piece) = stream.try_next().await? {
            file.write_all(&piece).await.map_err(wrong)?;
        }
        file.flush().await.map_err(wrong)?;
        Ok(bytes)
    }

    /// Where an artifact itself can be read and how many bytes it has, if artifacts are files of this machine. Whoever writes
    /// into that file damages it, and whoever opens it after the artifact was removed finds nothing.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], and when the storage fails.
    pub async fn place(&self, key: &str) -> Result<Option<(PathBuf, u64)>, StoreError> {
        match self.file(key)? {
            Some(file) => file.place().await.map(Some),
            None => Ok(None),
        }
    }

    /// An artifact in pieces, and how many bytes they are. It stays readable to its end even if it is removed meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], and when the storage fails.
    pub async fn stream(&self, key: &str) -> Result<(u64, BoxStream<'static, Result<Bytes, StoreError>>), StoreError> {
        let found = self.open(key).await?;
        Ok((found.meta.size, self.storage.pieces(found)))
    }

    /// The artifacts whose keys begin with these names, with their sizes, in the order of the keys; of more than 10,000,
    /// any 10,000.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the storage fails.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let place = key::of_artifact(prefix)?;
        let listed = self.storage.below(&place).take(MAX_LISTED).map_ok(|found| (found.location.into(), found.size));
        let mut listed: Vec<_> = listed.try_collect().await?;
        listed.sort_unstable();
        Ok(listed)
    }

    /// The names that come next in the keys that begin with these; of more than 100,000 the first of a bucket, any of a folder.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the storage fails.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.storage.names(&key::of_artifact(prefix)?).await
    }

    /// What kind of place they are kept in, for traces: `local` or `s3`.
    pub fn backend(&self) -> &'static str {
        match &self.storage.home {
            Home::Folder(_) => "local",
            Home::Bucket(_) => "s3",
        }
    }

    /// Removes the artifact of this key, and all whose keys begin with these names. How many there were.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the storage fails; some may be removed then, and a second call goes on.
    pub async fn remove(&self, prefix: &str) -> Result<u64, StoreError> {
        if let Some(file) = self.file(prefix)? {
            return file.remove().await;
        }
        let place = key::of_artifact(prefix)?;
        let store = &self.storage.store;
        let mut removed = 0;
        let below = store.list(Some(&place)).map_ok(|found| found.location).boxed();
        let mut deleted = store.delete_stream(below);
        while let Some(one) = deleted.next().await {
            // Another may remove them, too.
            removed += u64::from(self.storage.found(&place, one)?.is_some());
        }
        Ok(removed + u64::from(self.storage.remove(&place).await?))
    }

    /// The artifact of this key, where artifacts are files of this machine.
    fn file(&self, key: &str) -> Result<Option<LocalFile<'_>>, StoreError> {
        let place = key::of_artifact(key)?;
        Ok(match &self.storage.home {
            Home::Folder(root) => Some(LocalFile::new(root, &place)),
            Home::Bucket(_) => None,
        })
    }

    async fn open(&self, key: &str) -> Result<GetResult, StoreError> {
        let found = self.storage.open(&key::of_artifact(key)?).await?;
        found.ok_or_else(|| StoreError::NoArtifact { key: key.into() })
    }
}
