//! The folder where a session lies until it is finished, and the journal of those that are.
//!
//! `<id>.wav` grows while the session is open. At its end `<id>.transcript.json` is written, and then `<id>.json` is moved
//! into being: from then on the session is *committed*, and whatever dies, it will be moved to its place. That move takes
//! `<id>.json` last, so the entry of the journal goes in the same moment as the session becomes visible.
//!
//! A session that has left this worker and come back has two records here, each under its own incarnation: `<id>.2-0.json`.
//!
//! The lock on the archive is held here too: two processes would take each other's open sessions for remains.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, DirBuilder, File, TryLockError},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use dalston_protocol::SessionId;
use object_store::path::Path as Key;

use crate::{Incarnation, StoreError};

const FOLDER: &str = "spool";
const LOCK: &str = "lock";
/// What the names of notes begin with. No id does.
const NOTE: &str = "note.";

/// A file of a session in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Audio,
    Transcript,
    /// `session.json`, still being written.
    Draft,
    /// `session.json`: the session is committed.
    Session,
}

impl Part {
    const ALL: [Self; 4] = [Self::Audio, Self::Transcript, Self::Draft, Self::Session];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Audio => ".wav",
            Self::Transcript => ".transcript.json",
            Self::Draft => ".json.part",
            Self::Session => ".json",
        }
    }

    /// The record and the part of it that a file's name tells.
    fn of(name: &str) -> Option<(Spooled, Self)> {
        Self::ALL.into_iter().find_map(|part| Some((Spooled::of(name.strip_suffix(part.suffix())?)?, part)))
    }
}

/// A record in the spool: a session, and which part of its life is recorded. Shown as its files are named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spooled {
    pub(crate) id: SessionId,
    pub(crate) incarnation: Incarnation,
}

impl Spooled {
    fn of(stem: &str) -> Option<Self> {
        // No id has a dot.
        let (id, incarnation) = match stem.split_once('.') {
            Some((id, incarnation)) => (id, incarnation.parse().ok().filter(|read: &Incarnation| !read.is_first())?),
            None => (stem, Incarnation::FIRST),
        };
        Some(Self { id: id.parse().ok()?, incarnation })
    }
}

impl fmt::Display for Spooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.id, self.incarnation.infix())
    }
}

/// The spool of an archive that this process has to itself.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Makes the archive's folder if need be, and takes it. Dropping the file gives it back.
    pub(crate) fn open(root: &Path) -> Result<(Self, File), StoreError> {
        let folder = root.join(FOLDER);
        // What people said is for nobody else on this machine.
        let private = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        private.map_err(|error| StoreError::at(&folder, error))?;
        let path = root.join(LOCK);
        let lock = File::create(&path).map_err(|error| StoreError::at(&path, error))?;
        match lock.try_lock() {
            Ok(()) => Ok((Self { folder }, lock)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.into() }),
            Err(TryLockError::Error(error)) => Err(StoreError::at(path, error)),
        }
    }

    pub(crate) fn file(&self, id: &Spooled, part: Part) -> PathBuf {
        self.folder.join(format!("{id}{}", part.suffix()))
    }

    /// The same file as the store names it.
    pub(crate) fn key(id: &Spooled, part: Part) -> Key {
        Key::from_iter([FOLDER, &format!("{id}{}", part.suffix())])
    }

    /// An empty file on its way out, as the store names it.
    pub(crate) fn note_key(number: u64) -> Key {
        Key::from_iter([FOLDER, &format!("{NOTE}{number}")])
    }

    /// Makes a session sure to be kept. The audio is there already, if there is any.
    ///
    /// Everything is on the disk itself before the last move, so that this holds when the power goes, too.
    pub(crate) fn commit(
        &self,
        id: &Spooled,
        transcript: &[u8],
        session: &[u8],
        has_audio: bool,
    ) -> Result<(), StoreError> {
        let (draft, committed) = (self.file(id, Part::Draft), self.file(id, Part::Session));
        if has_audio {
            sync(&self.file(id, Part::Audio))?;
        }
        write(&self.file(id, Part::Transcript), transcript)?;
        write(&draft, session)?;
        fs::rename(&draft, &committed).map_err(|error| StoreError::at(&committed, error))?;
        sync(&self.folder)
    }

    /// Forgets a session that will not be kept.
    pub(crate) fn discard(&self, id: &Spooled) {
        for part in Part::ALL {
            // What cannot be removed now is, when the archive is opened the next time.
            let _ = fs::remove_file(self.file(id, part));
        }
    }

    /// The committed sessions that are not in their place yet.
    pub(crate) fn committed(&self) -> Result<Vec<Spooled>, StoreError> {
        let parts = self.files()?.into_iter().filter_map(|(_, name)| Part::of(&name));
        Ok(parts.filter(|(_, part)| *part == Part::Session).map(|(id, _)| id).collect())
    }

    /// What a committed session's `session.json` says.
    pub(crate) fn session(&self, id: &Spooled) -> Result<Vec<u8>, StoreError> {
        let path = self.file(id, Part::Session);
        fs::read(&path).map_err(|error| StoreError::at(path, error))
    }

    /// Removes all that is not of these sessions. The number of sessions that were never finished.
    pub(crate) fn clear_except(&self, kept: &HashSet<Spooled>) -> Result<usize, StoreError> {
        let mut unfinished = HashSet::new();
        for (path, name) in self.files()? {
            let session = Part::of(&name).map(|(id, _)| id);
            let is_remainder = match &session {
                Some(id) => !kept.contains(id),
                // A file that is none of ours is nobody's business here.
                None => name.starts_with(NOTE),
            };
            if is_remainder {
                fs::remove_file(&path).map_err(|error| StoreError::at(path, error))?;
                unfinished.extend(session);
            }
        }
        Ok(unfinished.len())
    }

    fn files(&self) -> Result<Vec<(PathBuf, String)>, StoreError> {
        let wrong = |error| StoreError::at(&self.folder, error);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if let Ok(name) = entry.file_name().into_string() {
                files.push((entry.path(), name));
            }
        }
        Ok(files)
    }
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| StoreError::at(path, error))
}

fn write(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| StoreError::at(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_session_and_part() {
        let id = SessionId::generate();
        for incarnation in [Incarnation::FIRST, Incarnation { epoch: 1, moves: 2 }, Incarnation { epoch: 12, moves: 0 }]
        {
            let spooled = Spooled { id: id.clone(), incarnation };
            for part in Part::ALL {
                assert_eq!(Part::of(&format!("{spooled}{}", part.suffix())), Some((spooled.clone(), part)));
            }
        }
        for other in [
            "notes.txt",
            ".json",
            "ses_.json",
            "ses_1",
            "ses_1.json.bak",
            "ses_1.mp3",
            "ses_1.1-0.json",
            "ses_1.x.json",
        ] {
            assert_eq!(Part::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_new_archive_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let root = parent.path().join("archive");
        let _spool = Spool::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o077, 0);
    }

    #[test]
    fn an_archive_is_open_in_one_place_only() {
        let root = tempfile::tempdir().unwrap();
        let (_spool, lock) = Spool::open(root.path()).unwrap();
        assert!(matches!(Spool::open(root.path()), Err(StoreError::InUse { .. })));
        drop(lock);
        assert!(Spool::open(root.path()).is_ok());
    }
}
