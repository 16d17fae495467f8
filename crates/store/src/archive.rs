//! The archive of sessions: who may open it, what it takes.

use std::{
    fs::{self, File},
    ops::Deref,
    path::Path,
    sync::Arc,
    time::Duration,
};

use dalston_protocol::realtime::Retention;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Location, Recording, RecordingStart, Shelf, StoreError,
    finishing::{self, Waiting},
    spool::{Part, Spool, Spooled},
    tape::Writer,
    wav::{self, WavFormat},
};

/// Sessions that are committed at once. Each blocks a thread while it is synced; the others wait their turn.
const COMMITTING: usize = 8;
/// Sessions that are moved to the shelf at once. One that waits for its turn too long stays in the spool for later.
const PUBLISHING: usize = 8;

/// What the archive may take up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of audio that may wait for the disk, and of transcripts as many again: audio must not take their room. Audio
    /// that finds none is given up, a transcript is refused.
    pub backlog_bytes: usize,
    /// Bytes of audio that one session may keep; the rest is given up. A WAV file cannot hold more than 4 GiB.
    pub audio_bytes: u64,
    /// How long the end of a session waits for its audio to reach the disk; and then as long again for its transcript.
    pub patience: Duration,
    /// How long a shelf elsewhere is left alone before it is offered again what it could not be given.
    pub again: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            backlog_bytes: 64 * 1024 * 1024,
            audio_bytes: wav::MAX_DATA,
            patience: Duration::from_secs(5),
            again: Duration::from_secs(30),
        }
    }
}

/// Kept sessions, and the place where they are made. Cheap to clone; all clones are one archive.
///
/// It is its [`Shelf`] besides: what was finished is listed, read and deleted there.
#[derive(Debug, Clone)]
pub struct Archive {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones, recordings and finishing tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) shelf: Shelf,
    pub(crate) spool: Arc<Spool>,
    pub(crate) limits: Limits,
    /// Bytes of transcripts that may wait for the disk.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) committing: Semaphore,
    pub(crate) publishing: Semaphore,
    /// Committed sessions that the shelf did not take.
    pub(crate) waiting: Waiting,
    /// Open recordings, finishing tasks, and the one that tries again for those that wait.
    pub(crate) tasks: TaskTracker,
    closing: CancellationToken,
    /// The source of tapes, and the end of its thread. Taken when the archive is closed.
    writer: Mutex<Option<(Writer, oneshot::Receiver<()>)>>,
    /// Keeps the folder ours. Given back when nothing can write any more.
    lock: Mutex<Option<File>>,
}

impl Archive {
    /// Opens the archive in this folder, or begins one, and clears up after a crash. No other process can read it. Must be
    /// called on a tokio runtime; it reads files itself, so do it before anything is served.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Denied`], [`StoreError::Full`], [`StoreError::Io`].
    pub async fn open(root: impl AsRef<Path>, limits: Limits) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let (spool, lock) = Spool::open(root)?;
        let root = fs::canonicalize(root).map_err(|error| StoreError::at(root, error))?;
        Self::begin(&root, spool, lock, Shelf::beside_spool(&root)?, limits).await
    }

    /// As [`open`](Self::open), but with a shelf elsewhere, which other processes and machines may have, too. The folder holds
    /// what is not finished, and what the shelf could not be given: that is tried again now and then.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Shelf::at`].
    pub async fn with_shelf(root: impl AsRef<Path>, shelf: &Location, limits: Limits) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let (spool, lock) = Spool::open(root)?;
        let archive = Self::begin(root, spool, lock, Shelf::at(shelf).await?, limits).await?;
        let shared = &archive.shared;
        // It holds no archive, so that one that is dropped without being closed lets go of its folder.
        let catch_up = finishing::catch_up_now_and_then(Arc::downgrade(shared), limits.again);
        shared.tasks.spawn(shared.closing.clone().run_until_cancelled_owned(catch_up));
        Ok(archive)
    }

    async fn begin(root: &Path, spool: Spool, lock: File, shelf: Shelf, limits: Limits) -> Result<Self, StoreError> {
        let waiting = finishing::recover(&shelf, &spool).await?;
        let room = || Arc::new(Semaphore::new(limits.backlog_bytes.min(Semaphore::MAX_PERMITS)));
        let writer = Writer::start(room(), limits.audio_bytes).map_err(|error| StoreError::at(root, error))?;
        let shared = Shared {
            shelf,
            spool: Arc::new(spool),
            limits,
            room: room(),
            committing: Semaphore::new(COMMITTING),
            publishing: Semaphore::new(PUBLISHING),
            waiting,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            writer: Mutex::new(Some(writer)),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sessions that are sure to be kept, and that the shelf could not be given yet.
    pub fn postponed(&self) -> usize {
        self.shared.waiting.len()
    }

    /// Begins to keep a session. `None` when it is not to be kept, or the archive is closed. Nothing is on the disk until
    /// there is audio to keep.
    pub fn record(&self, start: RecordingStart) -> Option<Recording> {
        if start.config.retention == Retention::None {
            return None;
        }
        let writer = self.shared.writer.lock();
        let (writer, _) = writer.as_ref()?;
        let format = WavFormat::of(&start.config).filter(|_| start.config.store_audio);
        let tape = format.map(|format| {
            let spooled = Spooled { id: start.session_id.clone(), incarnation: start.incarnation };
            let path = self.shared.spool.file(&spooled, Part::Audio);
            writer.tape(&start.session_id, format, path)
        });
        Some(Recording::new(self.shared.clone(), start, tape))
    }

    /// Takes no more sessions, waits for the open ones to be finished and lets go of the folder.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] when recordings are still open after twice the patience, or the disk hangs. What is then in
    /// the spool is dealt with when the archive is opened again.
    pub async fn close(&self) -> Result<(), StoreError> {
        let Some((writer, writer_ended)) = self.shared.writer.lock().take() else { return Ok(()) };
        drop(writer);
        self.shared.closing.cancel();
        self.shared.tasks.close();
        let all_done = async {
            self.shared.tasks.wait().await;
            // An error is what it ends with: nothing is ever sent.
            let _ = writer_ended.await;
        };
        let deadline = 2 * self.shared.limits.patience;
        tokio::time::timeout(deadline, all_done).await.map_err(|_| StoreError::TooSlow(deadline))?;
        self.shared.lock.lock().take();
        Ok(())
    }
}

impl Deref for Archive {
    type Target = Shelf;

    fn deref(&self) -> &Shelf {
        &self.shared.shelf
    }
}
