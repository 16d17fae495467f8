//! Artifacts that are files of this machine: each is read, written or removed in one go, in one blocking call.

use std::{
    fs::{self, File, Metadata},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use object_store::path::Path as Key;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::{
    INCOMING, key,
    upload::{MOVES, Stored, hexadecimal},
};
use crate::StoreError;

/// An artifact of a folder.
pub(super) struct LocalFile<'a> {
    root: &'a Path,
    key: String,
    path: PathBuf,
}

impl<'a> LocalFile<'a> {
    pub(super) fn new(root: &'a Path, place: &Key) -> Self {
        Self { root, key: place.to_string(), path: root.join(place.as_ref()) }
    }

    /// Writes it elsewhere, then moves it to its place.
    pub(super) async fn put(self, bytes: Bytes) -> Result<Stored, StoreError> {
        let incoming = self.root.join(key::of_upload().as_ref());
        debug_assert!(incoming.starts_with(self.root.join(INCOMING)));
        let path = self.path;
        blocking(move || {
            let wrong = |path: &Path, error| StoreError::at(path, error);
            let written = File::create_new(&incoming).and_then(|mut file| file.write_all(&bytes));
            let moved = written.map_err(|error| wrong(&incoming, error));
            if let Err(error) = moved.and_then(|()| move_in(&incoming, &path).map_err(|error| wrong(&path, error))) {
                // What stays is cleared away as what a killed process leaves.
                let _ = fs::remove_file(&incoming);
                return Err(error);
            }
            Ok(Stored { bytes: bytes.len() as u64, sha256: hexadecimal(Sha256::digest(&bytes)) })
        })
        .await
    }

    /// The whole of it, if it is no longer than that.
    pub(super) async fn get(self, max_bytes: u64) -> Result<Bytes, StoreError> {
        let Self { key, path, .. } = self;
        blocking(move || {
            let opened = File::open(&path).and_then(|file| file.metadata().map(|meta| (file, meta)));
            let (file, length) = found(&key, &path, opened)?;
            if length > max_bytes {
                return Err(StoreError::TooLarge { key, limit: max_bytes });
            }
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            // It is replaced as a whole, and never grows.
            file.take(length).read_to_end(&mut bytes).map_err(|error| StoreError::at(&path, error))?;
            Ok(bytes.into())
        })
        .await
    }

    /// Where it lies, and how many bytes it has.
    pub(super) async fn place(self) -> Result<(PathBuf, u64), StoreError> {
        let Self { key, path, .. } = self;
        blocking(move || {
            let ((), length) = found(&key, &path, fs::metadata(&path).map(|meta| ((), meta)))?;
            Ok((path, length))
        })
        .await
    }

    /// Removes it, or all that lies below it if it is a folder. How many files that were.
    pub(super) async fn remove(self) -> Result<u64, StoreError> {
        let path = self.path;
        blocking(move || remove(&path).map_err(|error| StoreError::at(&path, error))).await
    }
}

/// What was opened at the path, and its length. An artifact is a file.
fn found<T>(key: &str, path: &Path, opened: io::Result<(T, Metadata)>) -> Result<(T, u64), StoreError> {
    match opened {
        Ok((opened, meta)) if meta.is_file() => Ok((opened, meta.len())),
        Err(error) if !is_missing(&error) => Err(StoreError::at(path, error)),
        _ => Err(StoreError::NoArtifact { key: key.to_owned() }),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn move_in(incoming: &Path, path: &Path) -> io::Result<()> {
    let mut moves = 0;
    loop {
        moves += 1;
        match fs::rename(incoming, path) {
            Err(error) if error.kind() == ErrorKind::NotFound && moves < MOVES => {
                fs::create_dir_all(path.parent().unwrap_or(path))?;
            }
            moved => return moved,
        }
    }
}

/// Another may remove the same: what is gone by now is not counted.
fn remove(path: &Path) -> io::Result<u64> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => {}
        removed => return gone(removed.map(|()| 1)),
    }
    let mut removed = 0;
    let entries = match fs::read_dir(path) {
        Err(error) => return gone(Err(error)),
        Ok(entries) => entries,
    };
    for entry in entries {
        removed += remove(&entry?.path())?;
    }
    gone(fs::remove_dir(path).map(|()| 0)).map(|_| removed)
}

fn gone(removed: io::Result<u64>) -> io::Result<u64> {
    removed.or_else(|error| if is_missing(&error) { Ok(0) } else { Err(error) })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::at("artifacts", io::Error::other(error))),
    }
}
