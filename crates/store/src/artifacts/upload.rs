//! An artifact on its way in.

use std::{fmt::Write, io};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayloadMut, path::Path as Key};
use sha2::{Digest, Sha256};

use super::{Artifacts, key};
use crate::StoreError;

/// Bytes that are collected before they are written.
pub const PIECE: usize = 1024 * 1024;

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
    artifacts: Artifacts,
    key: String,
    place: Key,
    incoming: Key,
    upload: Box<dyn MultipartUpload>,
    buffer: PutPayloadMut,
    hash: Sha256,
    bytes: u64,
    max_bytes: u64,
    has_failed: bool,
}

impl Upload {
    pub(super) async fn begin(
        artifacts: Artifacts,
        key: String,
        place: Key,
        max_bytes: u64,
    ) -> Result<Self, StoreError> {
        let incoming = key::of_upload();
        let upload = artifacts.store.put_multipart(&incoming).await;
        let upload = upload.map_err(|error| StoreError::of_object(&artifacts.path(&incoming), error))?;
        let (buffer, hash) = (PutPayloadMut::new(), Sha256::new());
        Ok(Self { artifacts, key, place, incoming, upload, buffer, hash, bytes: 0, max_bytes, has_failed: false })
    }

    /// Adds to the end. Returns when at most [`PIECE`] bytes wait to be written, so a slow disk slows the caller.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when that is more than allowed, and when the disk fails. The artifact cannot be finished
    /// then: drop it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        // What was refused counts, too: the artifact stays too large.
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.check_size()?;
        self.hash.update(&bytes);
        self.buffer.push(bytes);
        if self.buffer.content_length() < PIECE { Ok(()) } else { self.flush().await }
    }

    /// Moves the artifact to its place.
    ///
    /// # Errors
    /// When the disk fails, or a write failed before; there is no artifact then.
    pub async fn finish(mut self) -> Result<Stored, StoreError> {
        self.check_size()?;
        self.flush().await?;
        let wrong = |error| StoreError::of_object(&self.artifacts.path(&self.place), error);
        self.upload.complete().await.map_err(wrong)?;
        self.artifacts.store.rename(&self.incoming, &self.place).await.map_err(wrong)?;
        let sha256 = self.hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        });
        Ok(Stored { bytes: self.bytes, sha256 })
    }

    /// Gives it up, and waits until what was written is gone.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        let path = self.artifacts.path(&self.incoming);
        self.upload.abort().await.map_err(|error| StoreError::of_object(&path, error))
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let path = || self.artifacts.path(&self.incoming);
        if self.has_failed {
            return Err(StoreError::at(path(), io::Error::other("a write failed before")));
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let payload = std::mem::take(&mut self.buffer).freeze();
        let written = self.upload.put_part(payload).await;
        self.has_failed = written.is_err();
        written.map_err(|error| StoreError::of_object(&path(), error))
    }

    fn check_size(&self) -> Result<(), StoreError> {
        let is_allowed = self.bytes <= self.max_bytes;
        is_allowed.then_some(()).ok_or_else(|| StoreError::TooLarge { key: self.key.clone(), limit: self.max_bytes })
    }
}
