//! An artifact on its way in.

use std::{fmt::Write, io, mem};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayloadMut, path::Path as Key};
use sha2::{Digest, Sha256};

use super::{key, parts::Parts};
use crate::{
    StoreError,
    storage::{Home, Storage},
};

/// Bytes that are collected before they are written to a folder.
pub const PIECE: usize = 1024 * 1024;
/// Moves of a finished file to its place. A folder that another process finds empty and removes is made again.
pub(super) const MOVES: usize = 5;

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// An artifact that is being written. Dropped, it never was.
#[derive(Debug)]
#[must_use]
pub struct Upload {
    storage: Storage,
    key: String,
    way: Way,
    hash: Sha256,
    bytes: u64,
    max_bytes: u64,
    /// A write failed, or was given up half way: something is missing.
    has_gap: bool,
}

/// How it comes to its place.
#[derive(Debug)]
enum Way {
    Folder(Staged),
    Bucket(Parts),
}

impl Upload {
    pub(crate) async fn begin(storage: Storage, key: String, place: Key, max_bytes: u64) -> Result<Self, StoreError> {
        let way = match &storage.home {
            Home::Folder(_) => Way::Folder(Staged::begin(&storage, place).await?),
            Home::Bucket(bucket) => Way::Bucket(Parts::new(storage.clone(), bucket.clone(), place)),
        };
        Ok(Self { storage, key, way, hash: Sha256::new(), bytes: 0, max_bytes, has_gap: false })
    }

    /// Adds to the end. Returns when at most [`PIECE`] bytes wait to be written to a folder, or two [`PART`](super::PART)s to be
    /// sent to a bucket, so whatever is slow slows the caller.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when that is more than allowed, and when the storage fails. The artifact cannot be finished
    /// then: drop it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        // What was refused counts, too: the artifact stays too large.
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.check()?;
        self.hash.update(&bytes);
        // Until it is known to be whole: the caller may give up waiting.
        self.has_gap = true;
        match &mut self.way {
            Way::Folder(staged) => staged.write(&self.storage, bytes).await?,
            Way::Bucket(parts) => parts.write(bytes).await?,
        }
        self.has_gap = false;
        Ok(())
    }

    /// Brings the artifact to its place, in one step.
    ///
    /// # Errors
    /// When the storage fails, or a write failed before; there is no artifact then, unless it was a bucket whose last answer
    /// was lost: then there may be the whole.
    pub async fn finish(self) -> Result<Stored, StoreError> {
        self.check()?;
        match self.way {
            Way::Folder(staged) => staged.finish(&self.storage).await?,
            Way::Bucket(parts) => parts.finish().await?,
        }
        Ok(Stored { bytes: self.bytes, sha256: hexadecimal(self.hash.finalize()) })
    }

    /// Gives it up, and waits until what was written is gone.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn abort(self) -> Result<(), StoreError> {
        match self.way {
            Way::Folder(staged) => staged.abort(&self.storage).await,
            Way::Bucket(parts) => parts.abort().await,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.bytes > self.max_bytes {
            return Err(StoreError::TooLarge { key: self.key.clone(), limit: self.max_bytes });
        }
        if self.has_gap {
            let path = self.key.as_str();
            return Err(StoreError::at(path, io::Error::other("a write failed before")));
        }
        Ok(())
    }
}

pub(super) fn hexadecimal(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// A file in `incoming`, which is moved to its place.
#[derive(Debug)]
struct Staged {
    place: Key,
    incoming: Key,
    upload: Box<dyn MultipartUpload>,
    buffer: PutPayloadMut,
}

impl Staged {
    async fn begin(storage: &Storage, place: Key) -> Result<Self, StoreError> {
        let incoming = key::of_upload();
        let upload = storage.store.put_multipart(&incoming).await;
        let upload = upload.map_err(|error| storage.error(&incoming, error))?;
        Ok(Self { place, incoming, upload, buffer: PutPayloadMut::new() })
    }

    async fn write(&mut self, storage: &Storage, bytes: Bytes) -> Result<(), StoreError> {
        self.buffer.push(bytes);
        if self.buffer.content_length() < PIECE { Ok(()) } else { self.flush(storage).await }
    }

    async fn flush(&mut self, storage: &Storage) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let payload = mem::take(&mut self.buffer).freeze();
        let written = self.upload.put_part(payload).await;
        written.map_err(|error| storage.error(&self.incoming, error))
    }

    async fn finish(mut self, storage: &Storage) -> Result<(), StoreError> {
        self.flush(storage).await?;
        self.upload.complete().await.map_err(|error| storage.error(&self.place, error))?;
        let mut moves = 0;
        loop {
            moves += 1;
            match storage.store.rename(&self.incoming, &self.place).await {
                Err(object_store::Error::NotFound { .. }) if moves < MOVES => {}
                moved => return moved.map_err(|error| storage.error(&self.place, error)),
            }
        }
    }

    async fn abort(mut self, storage: &Storage) -> Result<(), StoreError> {
        self.upload.abort().await.map_err(|error| storage.error(&self.incoming, error))
    }
}
