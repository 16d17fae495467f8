//! Folders for tasks.
//!
//! Each runner has a folder of its own in a place that runners of several processes may share, and a locked file beside
//! it. The lock goes with its process, however that ends; who comes next removes the folders that nobody holds any
//! more.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tempfile::TempDir;

/// The file that is locked while folders come and go, so that no folder is taken for abandoned before it is held.
const DOOR: &str = "door.lock";
/// What the file ends with that says that a folder is held.
const HELD: &str = "held";

/// Why a runner cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The place for its folders cannot be used.
    #[error("no folders for tasks can be made in {}: {source}", path.display())]
    Scratch {
        /// The place.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The folder of one runner, removed with it.
#[derive(Debug, Clone)]
pub(crate) struct Scratch(Arc<Held>);

#[derive(Debug)]
struct Held {
    folder: TempDir,
    /// Locked until the process ends or the folder is gone.
    lock: PathBuf,
    _locked: File,
    /// Numbers the folders of tasks.
    tasks: AtomicU64,
    /// Empty folders: as many at most as there were tasks at once. Making and removing one costs more than a small task does.
    idle: Mutex<Vec<PathBuf>>,
}

impl Scratch {
    /// Makes a folder in `place`, and removes those that nobody holds any more.
    pub(crate) async fn open(place: &Path) -> Result<Self, RunnerError> {
        let path = place.to_owned();
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.map_err(io::Error::other).and_then(|opened| opened);
        opened.map(|held| Self(Arc::new(held))).map_err(|source| RunnerError::Scratch { path: place.into(), source })
    }

    /// An empty folder for a task.
    pub(crate) fn folder(&self) -> io::Result<Folder> {
        let idle = self.0.idle.lock().pop();
        let work = idle.map_or_else(|| self.new_folder(), Ok)?;
        let inputs = work.with_extension("in");
        Ok(Folder { scratch: self.clone(), inputs, work, has_inputs: AtomicBool::new(false), is_gone: false })
    }

    fn new_folder(&self) -> io::Result<PathBuf> {
        let number = self.0.tasks.fetch_add(1, Ordering::Relaxed);
        let path = self.0.folder.path().join(format!("task-{number}"));
        std::fs::create_dir(&path)?;
        Ok(path)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What stays is removed by who comes next, who finds it without a lock.
        let _ = std::fs::remove_dir_all(self.folder.path());
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// The folder of one attempt, and one beside it for inputs that had to be copied. Both go when it is dropped, however the
/// attempt ends.
#[derive(Debug)]
pub(crate) struct Folder {
    scratch: Scratch,
    inputs: PathBuf,
    work: PathBuf,
    has_inputs: AtomicBool,
    is_gone: bool,
}

impl Folder {
    /// Where inputs are. Made when it is asked for first.
    pub(crate) fn inputs(&self) -> io::Result<&Path> {
        if !self.has_inputs.swap(true, Ordering::Relaxed) {
            std::fs::create_dir(&self.inputs)?;
        }
        Ok(&self.inputs)
    }

    /// Where the engine may write.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Leaves it to the next task if this one has left nothing in it, and will not: its engine has returned.
    pub(crate) async fn give_back(mut self) {
        let is_empty = || std::fs::read_dir(&self.work).is_ok_and(|mut entries| entries.next().is_none());
        if !self.has_inputs.load(Ordering::Relaxed) && is_empty() {
            self.is_gone = true;
            let work = std::mem::take(&mut self.work);
            return self.scratch.0.idle.lock().push(work);
        }
        self.remove().await;
    }

    /// Removes it, away from the runtime's threads: what it holds may be gigabytes.
    pub(crate) async fn remove(self) {
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_gone {
            // What cannot be removed now goes with the runner's folder.
            let _ = std::fs::remove_dir_all(&self.work);
            if *self.has_inputs.get_mut() {
                let _ = std::fs::remove_dir_all(&self.inputs);
            }
        }
    }
}

fn open(place: &Path) -> io::Result<Held> {
    DirBuilder::new().recursive(true).mode(0o700).create(place)?;
    let door = File::options().create(true).append(true).open(place.join(DOOR))?;
    door.lock()?;
    sweep(place)?;
    let folder = tempfile::Builder::new().prefix("runner-").tempdir_in(place)?;
    let lock = folder.path().with_extension(HELD);
    let locked = File::create_new(&lock)?;
    locked.lock()?;
    Ok(Held { folder, lock, _locked: locked, tasks: AtomicU64::new(0), idle: Mutex::default() })
}

fn sweep(place: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(place)? {
        let path = entry?.path();
        let is_folder_of_ours =
            path.is_dir() && path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"runner-"));
        if is_folder_of_ours && !is_held(&path.with_extension(HELD))? {
            std::fs::remove_dir_all(&path)?;
            let _ = std::fs::remove_file(path.with_extension(HELD));
        }
    }
    Ok(())
}

fn is_held(lock: &Path) -> io::Result<bool> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(place: &Path) -> usize {
        std::fs::read_dir(place).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    }

    #[tokio::test]
    async fn folders_go_with_their_attempt_and_with_their_runner() {
        let place = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(place.path()).await.unwrap();
        let (kept, removed) = (scratch.folder().unwrap(), scratch.folder().unwrap());
        std::fs::write(removed.work().join("x"), "x").unwrap();
        let (inputs, work) = (kept.inputs().unwrap().to_owned(), removed.work().to_owned());
        removed.remove().await;
        assert!(inputs.is_dir() && !work.exists());
        drop(kept);
        assert!(!inputs.exists());
        drop(scratch);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "the door alone is left");
    }

    #[tokio::test]
    async fn a_folder_is_left_to_the_next_task_only_if_nothing_is_in_it() {
        let place = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(place.path()).await.unwrap();
        let (empty, used) = (scratch.folder().unwrap(), scratch.folder().unwrap());
        std::fs::write(used.work().join("x"), "x").unwrap();
        let (empty_one, used_one) = (empty.work().to_owned(), used.work().to_owned());
        used.give_back().await;
        assert!(!used_one.exists());
        empty.give_back().await;
        let (next, another) = (scratch.folder().unwrap(), scratch.folder().unwrap());
        assert_eq!(next.work(), empty_one);
        assert!(another.work() != empty_one && another.work() != used_one && another.work().is_dir());
        next.inputs().unwrap();
        next.give_back().await;
        assert!(!empty_one.exists(), "its inputs went with it");
    }

    #[tokio::test]
    async fn what_a_killed_runner_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let alive = Scratch::open(place.path()).await.unwrap();
        let at_work = alive.folder().unwrap();
        // As a killed process leaves it: a folder, and a file that nobody has locked.
        std::fs::create_dir_all(place.path().join("runner-dead/task-1")).unwrap();
        std::fs::write(place.path().join("runner-dead.held"), "").unwrap();
        std::fs::create_dir(place.path().join("not-ours")).unwrap();
        let next = Scratch::open(place.path()).await.unwrap();
        assert!(at_work.work().is_dir());
        assert!(!place.path().join("runner-dead").exists() && !place.path().join("runner-dead.held").exists());
        assert_eq!(folders(place.path()), 3, "two runners and what is not theirs");
        drop(next);
    }
}
