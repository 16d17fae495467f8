//! Small artifacts of a folder, and whole files of it: each in one go, in one blocking call.

use std::{
    fs::{self, File},
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
pub(super) struct LocalFile {
    key: String,
    path: PathBuf,
    incoming: PathBuf,
}

impl LocalFile {
    pub(super) fn new(root: &Path, place: &Key) -> Self {
        let incoming = root.join(key::of_upload().as_ref());
        debug_assert!(incoming.starts_with(root.join(INCOMING)));
        Self { key: place.to_string(), path: root.join(place.as_ref()), incoming }
    }

    /// Writes it elsewhere, then moves it to its place.
    pub(super) async fn put(self, bytes: Bytes) -> Result<Stored, StoreError> {
        blocking(move || {
            let wrong = |path: &Path, error| StoreError::at(path, error);
            let written = File::create_new(&self.incoming).and_then(|mut file| file.write_all(&bytes));
            let moved = written.map_err(|error| wrong(&self.incoming, error));
            if let Err(error) = moved.and_then(|()| self.move_in().map_err(|error| wrong(&self.path, error))) {
                // What stays is cleared away as what a killed process leaves.
                let _ = fs::remove_file(&self.incoming);
                return Err(error);
            }
            Ok(Stored { bytes: bytes.len() as u64, sha256: hexadecimal(Sha256::digest(&bytes)) })
        })
        .await
    }

    /// The whole of it, if it is no longer than that.
    pub(super) async fn get(self, max_bytes: u64) -> Result<Bytes, StoreError> {
        blocking(move || {
            let (file, length) = self.open()?;
            if length > max_bytes {
                return Err(StoreError::TooLarge { key: self.key, limit: max_bytes });
            }
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            // It is replaced as a whole, and never grows.
            file.take(length).read_to_end(&mut bytes).map_err(|error| StoreError::at(&self.path, error))?;
            Ok(bytes.into())
        })
        .await
    }

    /// Copies it to another file, by the system alone where that can.
    pub(super) async fn fetch(self, to: PathBuf) -> Result<u64, StoreError> {
        blocking(move || {
            let (mut file, _) = self.open()?;
            let mut copy = File::create(&to).map_err(|error| StoreError::at(&to, error))?;
            io::copy(&mut file, &mut copy).map_err(|error| StoreError::at(&to, error))
        })
        .await
    }

    fn open(&self) -> Result<(File, u64), StoreError> {
        let opened = File::open(&self.path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        match opened {
            Ok((file, meta)) if meta.is_file() => Ok((file, meta.len())),
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(StoreError::at(&self.path, error))
            }
            _ => Err(StoreError::NoArtifact { key: self.key.clone() }),
        }
    }

    fn move_in(&self) -> io::Result<()> {
        let mut moves = 0;
        loop {
            moves += 1;
            match fs::rename(&self.incoming, &self.path) {
                Err(error) if error.kind() == ErrorKind::NotFound && moves < MOVES => {
                    fs::create_dir_all(self.path.parent().unwrap_or(&self.path))?;
                }
                moved => return moved,
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::at("artifacts", io::Error::other(error))),
    }
}
