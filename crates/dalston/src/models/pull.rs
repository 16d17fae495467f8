//! Getting a model: piece by piece into a file of its own, from where it stopped; then its checksum; then its place.
//!
//! Whatever happens, what stands in a model's place is whole. A pull that was killed goes on where it stopped.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::digest::Hasher;
use super::origin::Origin;
use super::registry::{File, Model, Size, Source};
use super::shelf::Shelf;

/// How often a download that breaks off is taken up again, as long as each time something came. Then it is the user's
/// turn.
const RESUMPTIONS: u32 = 20;

/// What a pull has to say while it runs.
pub trait Watcher {
    /// A file begins, `have` bytes of it are there already.
    fn begins(&self, file: &File, have: u64, length: Option<u64>);
    /// So many bytes of it are there.
    fn has(&self, bytes: u64);
}

/// Gets a model and puts it into its place.
///
/// # Errors
/// With a text for the user. What has come stays, unless its checksum was wrong.
pub async fn pull(shelf: &Shelf, model: &Model, origin: &Origin, watcher: &dyn Watcher) -> Result<()> {
    if let Source::System { install, .. } = model.source {
        bail!("{} comes with the system: {install}", model.id);
    }
    let staging = shelf.staging(model);
    fs::create_dir_all(&staging).with_context(|| format!("cannot make {}", staging.display()))?;
    let _alone = lock(&shelf.lock(model), model)?;
    for file in model.files() {
        get(&staging, file, origin, watcher).await?;
    }
    place(shelf, model, &staging).with_context(|| format!("cannot put {} into its place", model.id))
}

/// One at a time: two would write into the same file. Let go when it is dropped, or its process ends.
fn lock(path: &Path, model: &Model) -> Result<fs::File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{} is being pulled already", model.id),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Gets one file into the staging folder, checked.
async fn get(staging: &Path, file: &File, origin: &Origin, watcher: &dyn Watcher) -> Result<()> {
    let done = staging.join(file.name);
    if done.is_file() {
        // Checked before a later file of the model failed.
        return Ok(());
    }
    let path = staging.join(format!("{}.part", file.name));
    let mut part = Part::open(&path, file)?;
    let mut resumptions = 0;
    loop {
        let before = part.length;
        match fetch(&mut part, file, origin, watcher).await {
            Ok(()) => break,
            Err(Stop::Broken(_)) if part.length > before && resumptions < RESUMPTIONS => resumptions += 1,
            Err(Stop::Broken(error)) => {
                let have = part.length;
                return Err(
                    error.context(format!("{} broke off; run the command again to go on from byte {have}", file.name))
                );
            }
            Err(Stop::Fatal(error)) => return Err(error),
        }
    }
    let (length, found) = part.finish()?;
    let expected = match file.size {
        Size::Bytes(bytes) if bytes != length => Some(format!("{bytes} bytes")),
        _ if found != file.digest.hex() => Some(file.digest.to_string()),
        _ => None,
    };
    if let Some(expected) = expected {
        fs::remove_file(&path)?;
        let place = origin.place_of(file);
        bail!(
            "{place} is not what was published: expected {expected}, got {length} bytes with {found}; it was removed"
        );
    }
    fs::rename(&path, &done)?;
    Ok(())
}

/// Why a download stopped.
enum Stop {
    /// It may go on.
    Broken(anyhow::Error),
    /// It may not, or not yet.
    Fatal(anyhow::Error),
}

/// Gets what is missing.
async fn fetch(part: &mut Part, file: &File, origin: &Origin, watcher: &dyn Watcher) -> Result<(), Stop> {
    let mut body = origin.open(file, part.length).await.map_err(Stop::Fatal)?;
    if body.from != part.length {
        part.restart().map_err(Stop::Fatal)?;
    }
    watcher.begins(file, part.length, body.length);
    let missing = body.length.unwrap_or(file.size.bytes()).saturating_sub(part.length);
    part.reserve(missing).map_err(Stop::Fatal)?;
    while let Some(piece) = body.piece().await.map_err(Stop::Broken)? {
        part.write(&piece).map_err(Stop::Fatal)?;
        watcher.has(part.length);
    }
    match body.length {
        Some(length) if part.length < length => {
            Err(Stop::Broken(anyhow::anyhow!("{} of {length} bytes came", part.length)))
        }
        _ => Ok(()),
    }
}

/// A file that is coming, and the checksum of what has come.
struct Part {
    file: fs::File,
    path: std::path::PathBuf,
    fresh: Hasher,
    hasher: Hasher,
    length: u64,
}

impl Part {
    /// With what an earlier pull left, which is read once more for its checksum.
    fn open(path: &Path, of: &File) -> Result<Self> {
        let cannot = || format!("cannot write {}", path.display());
        let file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).with_context(cannot)?;
        let fresh = of.digest.hasher();
        let mut part = Self { file, path: path.to_owned(), fresh: fresh.clone(), hasher: fresh, length: 0 };
        let mut piece = vec![0; 1 << 20];
        loop {
            let count = part.file.read(&mut piece).with_context(cannot)?;
            if count == 0 {
                return Ok(part);
            }
            part.hasher.update(&piece[..count]);
            part.length += count as u64;
        }
    }

    fn restart(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = self.fresh.clone();
        self.length = 0;
        Ok(())
    }

    /// Whether so much more will fit.
    fn reserve(&self, bytes: u64) -> Result<()> {
        let Ok(disk) = rustix::fs::fstatvfs(&self.file) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let folder = self.path.parent().unwrap_or(&self.path).display();
        ensure!(bytes <= free, "{} MiB are missing and {} MiB are free in {folder}", bytes >> 20, free >> 20);
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file.write_all(piece).map_err(|error| {
            let path = self.path.display();
            match error.kind() {
                io::ErrorKind::StorageFull => {
                    anyhow::anyhow!("the disk is full: {path} has {} bytes so far, and stays", self.length)
                }
                _ => anyhow::Error::new(error).context(format!("cannot write {path}")),
            }
        })?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Its length and checksum, once it is on the disk.
    fn finish(self) -> Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.length, self.hasher.finish()))
    }
}

/// Puts what came into its place in one step.
fn place(shelf: &Shelf, model: &Model, staging: &Path) -> io::Result<()> {
    let to = shelf.place(model);
    let engine = to.parent().unwrap_or(&to);
    fs::create_dir_all(engine)?;
    match &model.source {
        Source::File(file) => {
            fs::rename(staging.join(file.name), &to)?;
            fs::remove_dir(staging)?;
        }
        // A folder that lacks files is in the way of one that has them.
        Source::Folder(_) if to.is_dir() => {
            for file in model.files() {
                fs::rename(staging.join(file.name), to.join(file.name))?;
            }
            fs::remove_dir(staging)?;
        }
        Source::Folder(_) => fs::rename(staging, &to)?,
        Source::System { .. } => {}
    }
    fs::File::open(engine)?.sync_all()
}
