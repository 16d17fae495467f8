//! Artifacts: what jobs are made of and what they leave, from the upload to the transcript.
//!
//! An artifact has a key, names parted by `/`; all that belongs to a job begins with `jobs/<job>/`. It is there whole or not
//! at all: what is being written lies elsewhere, and the last step moves it to its place. Writing a key again replaces the
//! artifact in one step.
//!
//! Whoever writes or reads holds [`PIECE`] bytes at a time, however large the artifact is.
//!
//! Killing the process at any moment loses nothing that was [stored](Stored) and shows nothing that was not. Data reaches
//! the disk itself when the system writes it there: a power cut may take what was stored in its last seconds.

mod key;
mod upload;

pub use upload::{PIECE, Stored, Upload};

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use dalston_protocol::JobId;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{GetResult, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
};

use crate::StoreError;

/// Where artifacts lie while they are written.
const INCOMING: &str = "incoming";
/// What lies there this long was left behind by a process that is gone.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);
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
    store: Arc<dyn ObjectStore>,
    root: Arc<Path>,
}

impl Artifacts {
    /// Artifacts in a folder of this machine, which is made if need be, for this user alone.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn local(root: &Path) -> Result<Self, StoreError> {
        Self::in_folder(root, LEFT_BEHIND)
    }

    /// As [`local`](Self::local), by the only process that writes there: all that is half written was left behind by one
    /// that is gone, and is removed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn local_alone(root: &Path) -> Result<Self, StoreError> {
        Self::in_folder(root, Duration::ZERO)
    }

    fn in_folder(root: &Path, left_behind: Duration) -> Result<Self, StoreError> {
        let incoming = root.join(INCOMING);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&incoming);
        made.map_err(|error| StoreError::at(&incoming, error))?;
        clear(&incoming, left_behind)?;
        let store = LocalFileSystem::new_with_prefix(root).map_err(|error| StoreError::of_object(root, error))?;
        Ok(Self { store: Arc::new(store), root: root.into() })
    }

    /// Begins to write an artifact of at most so many bytes.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the disk fails.
    pub async fn writer(&self, key: &str, max_bytes: u64) -> Result<Upload, StoreError> {
        let place = key::of_artifact(key)?;
        Upload::begin(self.clone(), key.to_owned(), place, max_bytes).await
    }

    /// Keeps bytes that are in memory already.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Stored, StoreError> {
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
    /// [`StoreError::NoArtifact`], [`StoreError::TooLarge`] if it has more bytes than that, and when the disk fails.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Bytes, StoreError> {
        let found = self.open(key).await?;
        if found.meta.size > max_bytes {
            return Err(StoreError::TooLarge { key: key.into(), limit: max_bytes });
        }
        let path = self.path(&found.meta.location);
        found.bytes().await.map_err(|error| StoreError::of_object(&path, error))
    }

    /// Copies an artifact into a local file, replacing what is there. How many bytes it has.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], and when a disk fails; what is in the file is of no use then.
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

    /// An artifact in pieces, and how many bytes they are. It stays readable to its end even if it is removed meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NoArtifact`], and when the disk fails.
    pub async fn stream(&self, key: &str) -> Result<(u64, BoxStream<'static, Result<Bytes, StoreError>>), StoreError> {
        let found = self.open(key).await?;
        let (bytes, path) = (found.meta.size, self.path(&found.meta.location));
        let stream = found.into_stream().map_err(move |error| StoreError::of_object(&path, error));
        Ok((bytes, stream.boxed()))
    }

    /// The artifacts whose keys begin with these names, with their sizes, in the order of the keys; of more than 10,000,
    /// any 10,000.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the disk fails.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let place = key::of_artifact(prefix)?;
        let listed = self.store.list(Some(&place)).take(MAX_LISTED).map_ok(|found| (found.location.into(), found.size));
        let mut listed: Vec<_> =
            listed.try_collect().await.map_err(|error| StoreError::of_object(&self.path(&place), error))?;
        listed.sort_unstable();
        Ok(listed)
    }

    /// The names that come next in the keys that begin with these.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the disk fails.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let place = key::of_artifact(prefix)?;
        let listed = self.store.list_with_delimiter(Some(&place)).await;
        let listed = listed.map_err(|error| StoreError::of_object(&self.path(&place), error))?;
        let files = listed.objects.into_iter().map(|found| found.location);
        let places = listed.common_prefixes.into_iter().chain(files);
        Ok(places.filter_map(|place| place.filename().map(str::to_owned)).collect())
    }

    /// Removes the artifact of this key, and all whose keys begin with these names. How many there were.
    ///
    /// # Errors
    /// [`StoreError::InvalidKey`], and when the disk fails; some may be removed then, and a second call goes on.
    pub async fn remove(&self, prefix: &str) -> Result<u64, StoreError> {
        let place = key::of_artifact(prefix)?;
        let path = self.path(&place);
        let wrong = |error| StoreError::of_object(&path, error);
        let mut removed = 0;
        let below = self.store.list(Some(&place)).map_ok(|found| found.location).boxed();
        let mut deleted = self.store.delete_stream(below);
        while let Some(one) = deleted.next().await {
            match one {
                Ok(_) => removed += 1,
                // Another removes them, too.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(wrong(error)),
            }
        }
        match self.store.delete(&place).await {
            Ok(()) => removed += 1,
            Err(object_store::Error::NotFound { .. }) => {}
            // A folder, whose files are gone by now.
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(wrong(error)),
        }
        // The folders that held them: nothing but folders is left in there.
        match tokio::fs::remove_dir_all(&path).await {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(StoreError::at(path, error))
            }
            _ => Ok(removed),
        }
    }

    async fn open(&self, key: &str) -> Result<GetResult, StoreError> {
        let place = key::of_artifact(key)?;
        match self.store.get(&place).await {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Err(StoreError::NoArtifact { key: key.into() }),
            Err(error) => Err(StoreError::of_object(&self.path(&place), error)),
        }
    }

    /// Where an artifact stands, for messages.
    fn path(&self, place: &Key) -> PathBuf {
        self.root.join(place.as_ref())
    }
}

/// Removes what processes left behind that were killed while they wrote: what nobody has written to for so long.
fn clear(incoming: &Path, left_behind: Duration) -> Result<(), StoreError> {
    let wrong = |error| StoreError::at(incoming, error);
    let oldest = SystemTime::now() - left_behind;
    for entry in std::fs::read_dir(incoming).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        // Whoever writes it may move it away at any moment.
        let is_left = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified <= oldest);
        if is_left && let Err(error) = std::fs::remove_file(entry.path()) {
            return Err(StoreError::at(entry.path(), error));
        }
    }
    Ok(())
}
