//! What processes left behind that were killed while they wrote.
//!
//! In a folder it lies in `incoming` itself. A bucket has it out of sight, where it costs money all the same; there a note in
//! `incoming` says which upload was begun.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt;
use object_store::{ObjectStoreExt, multipart::MultipartStore, path::Path as Key};

use super::{INCOMING, parts::Note};
use crate::{
    StoreError,
    bucket::Bucket,
    storage::{Home, Storage},
};

/// What lies there this long was left behind. An upload to a bucket may not take longer.
const LONG_AGO: Duration = Duration::from_secs(24 * 3600);

/// From when on something counts as left behind.
pub(crate) struct LeftBehind(Duration);

impl LeftBehind {
    /// When others may write, too.
    pub(crate) const fn long_ago() -> Self {
        Self(LONG_AGO)
    }

    /// All of it: nobody else writes.
    pub(crate) const fn all() -> Self {
        Self(Duration::ZERO)
    }

    /// How many were removed. Several may do it at once.
    pub(crate) async fn clear(&self, storage: &Storage) -> Result<usize, StoreError> {
        let oldest = SystemTime::now() - self.0;
        match &storage.home {
            Home::Folder(root) => self.clear_folder(root),
            Home::Bucket(bucket) => clear_bucket(storage, bucket, oldest).await,
        }
    }

    /// The same for a folder.
    pub(crate) fn clear_folder(&self, root: &Path) -> Result<usize, StoreError> {
        clear_files(&root.join(INCOMING), SystemTime::now() - self.0)
    }
}

fn clear_files(incoming: &Path, oldest: SystemTime) -> Result<usize, StoreError> {
    let wrong = |error| StoreError::at(incoming, error);
    let mut cleared = 0;
    for entry in std::fs::read_dir(incoming).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        // Whoever writes it may move it away at any moment, and another clears, too.
        let is_left = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified <= oldest);
        if !is_left {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::at(entry.path(), error));
            }
            removed => cleared += usize::from(removed.is_ok()),
        }
    }
    Ok(cleared)
}

async fn clear_bucket(storage: &Storage, bucket: &Bucket, oldest: SystemTime) -> Result<usize, StoreError> {
    let incoming = Key::from(INCOMING);
    let mut cleared = 0;
    let mut notes = storage.below(&incoming);
    while let Some(note) = notes.next().await {
        let note = note?;
        if SystemTime::from(note.last_modified) > oldest {
            continue;
        }
        match clear_upload(storage, bucket, &note.location).await {
            Ok(()) => cleared += 1,
            // Its turn comes again. It must not keep a server from starting.
            Err(error) => {
                tracing::warn!(event = "upload_not_cleared", %error, "what a killed process uploaded stays in the bucket");
            }
        }
    }
    Ok(cleared)
}

async fn clear_upload(storage: &Storage, bucket: &Bucket, note: &Key) -> Result<(), StoreError> {
    let Some(found) = storage.open(note).await? else { return Ok(()) };
    let content = found.bytes().await.map_err(|error| storage.error(note, error))?;
    let Note { key, upload } =
        serde_json::from_slice(&content).map_err(|error| StoreError::damaged(storage.path(note), &error))?;
    // Not found: it was finished or aborted, and only its note was left.
    storage.found(note, bucket.store.abort_multipart(&Key::from(key), &upload).await)?;
    storage.found(note, storage.store.delete(note).await).map(drop)
}
