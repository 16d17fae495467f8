//! One session's audio as a file, and why it is not all there.
//!
//! No file is kept open between two pages: a page is about a second of audio, and file descriptors are for sockets.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dalston_protocol::SessionId;

use crate::{StoreError, wav::WavFormat};

/// Why the rest of a session's audio is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    #[error("too much waits for the disk already")]
    Backlog,
    #[error("the disk did not take it within {0:?} of the end")]
    TooSlow(Duration),
    #[error("it is longer than the {0} bytes that one session may keep")]
    Length(u64),
    #[error(transparent)]
    Disk(StoreError),
}

/// What the two ends of a tape share.
#[derive(Debug)]
pub(crate) struct Reel {
    id: SessionId,
    path: PathBuf,
    format: WavFormat,
    given_up: OnceLock<Loss>,
    /// Whether a write failed. What waits for the disk then is never written: it is not the beginning.
    broken: AtomicBool,
    /// Bytes of audio in the file. Only the thread counts here.
    written: AtomicU64,
}

impl Reel {
    pub(crate) fn new(id: &SessionId, format: WavFormat, path: PathBuf) -> Self {
        let (given_up, broken, written) = (OnceLock::new(), AtomicBool::new(false), AtomicU64::new(0));
        Self { id: id.clone(), path, format, given_up, broken, written }
    }

    pub(crate) fn format(&self) -> WavFormat {
        self.format
    }

    /// The first reason counts, and is the one that is logged.
    pub(crate) fn give_up(&self, loss: Loss) {
        if self.given_up.set(loss).is_ok()
            && let Some(loss) = self.given_up.get()
        {
            tracing::warn!(
                event = "audio_given_up",
                session_id = %self.id,
                reason = %loss,
                "the rest of a session's audio is not kept"
            );
        }
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get().is_some()
    }

    /// Removes the file, too: on a full disk the transcripts need the room.
    fn break_off(&self, error: io::Error) {
        self.broken.store(true, Ordering::Relaxed);
        self.give_up(Loss::Disk(StoreError::at(&self.path, error)));
        self.remove();
    }

    fn remove(&self) {
        // What cannot be removed now is, when the archive is opened the next time.
        let _ = fs::remove_file(&self.path);
        self.written.store(0, Ordering::Relaxed);
    }

    /// Removes what was written, if anything was. If nothing was, a file of this name is not of this tape: a worker that was
    /// too late to take a session is asked for it again.
    pub(crate) fn throw_away(&self) {
        if self.written.load(Ordering::Relaxed) > 0 {
            self.remove();
        }
    }

    /// Adds audio, unless a write failed before.
    pub(crate) fn write(&self, page: &[u8]) {
        if !self.broken.load(Ordering::Relaxed)
            && let Err(error) = self.append(page)
        {
            self.break_off(error);
        }
    }

    /// Makes the file one that can be played. The bytes of audio in it.
    pub(crate) fn complete(&self) -> u64 {
        self.try_complete().unwrap_or_else(|error| {
            self.break_off(error);
            0
        })
    }

    fn append(&self, page: &[u8]) -> io::Result<()> {
        let written = self.written.load(Ordering::Relaxed);
        let mut file = match written {
            0 => File::create(&self.path)?,
            _ => OpenOptions::new().append(true).open(&self.path)?,
        };
        if written == 0 {
            file.write_all(&self.format.header(0))?;
        }
        file.write_all(page)?;
        self.written.store(written + page.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn try_complete(&self) -> io::Result<u64> {
        let written = self.written.load(Ordering::Relaxed);
        let data = self.format.whole_frames(written);
        if data == 0 {
            self.throw_away();
            return Ok(0);
        }
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(&self.format.header(data))?;
        // Cuts off half a frame, or adds the byte of padding.
        file.set_len(self.format.file_len(data))?;
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use dalston_protocol::realtime::SessionConfig;

    use super::*;

    #[test]
    fn nothing_is_written_behind_a_page_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audio.wav");
        let format = WavFormat::of(&SessionConfig::default()).unwrap();
        let reel = Reel::new(&SessionId::generate(), format, path.clone());
        reel.write(&[1; 10]);
        // Pages that were handed over before the audio was given up may still fail.
        reel.give_up(Loss::Backlog);
        fs::remove_file(&path).unwrap();
        reel.write(&[2; 10]);
        reel.write(&[3; 10]);
        assert_eq!(reel.complete(), 0);
        assert!(!path.exists());
    }
}
