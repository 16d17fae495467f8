//! The upload as a decoder reads it, and how far it is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

/// How far a file was read: the farthest byte.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<AtomicU64>);

impl Position {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that says how far it was read.
pub struct Source {
    file: File,
    length: u64,
    at: u64,
    position: Position,
    seekable: bool,
}

impl Source {
    /// Without `seekable` it is read from front to back as a live stream would be.
    pub fn open(path: &Path, seekable: bool, position: Position) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length, at: 0, position, seekable })
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.at += read as u64;
        // Reading the index at the end of a file is no progress.
        if self.at < self.length || self.position.get() > self.length / 2 {
            self.position.0.fetch_max(self.at, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // Where to comes from the file itself: that it cannot be is not the disk's fault.
        self.at =
            self.file.seek(to).map_err(|_error| io::Error::new(io::ErrorKind::InvalidInput, "points out of itself"))?;
        Ok(self.at)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then_some(self.length)
    }
}
