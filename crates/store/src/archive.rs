//! The archive of sessions: who may open it, what it takes, what it gives back.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use dalston_protocol::{SessionId, realtime::Retention};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::{
    AudioStream, Recording, RecordingStart, SessionSummary, StoreError, StoredSession, Transcript, finishing,
    place::{Place, TenantFolder},
    session::SessionFile,
    shelf::Shelf,
    spool::{Part, Spool},
    tape::Writer,
    wav::{self, WavFormat},
};

/// Sessions that are moved to their place at once. Each blocks a thread while it is synced; the others wait their turn.
const FINISHING: usize = 8;

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
}

impl Default for Limits {
    fn default() -> Self {
        Self { backlog_bytes: 64 * 1024 * 1024, audio_bytes: wav::MAX_DATA, patience: Duration::from_secs(5) }
    }
}

/// Kept sessions. Cheap to clone; all clones are one archive.
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
    pub(crate) finishing: Semaphore,
    /// Open recordings and finishing tasks.
    pub(crate) tasks: TaskTracker,
    /// The source of tapes, and the end of its thread. Taken when the archive is closed.
    writer: Mutex<Option<(Writer, oneshot::Receiver<()>)>>,
    /// Keeps the folder ours. Given back when nothing can write any more.
    lock: Mutex<Option<File>>,
}

impl Archive {
    /// Opens the archive in this folder, or begins one, and clears up after a crash. Must be called on a tokio runtime; it
    /// reads files itself, so do it before anything is served.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Denied`], [`StoreError::Full`], [`StoreError::Io`].
    pub async fn open(root: impl AsRef<Path>, limits: Limits) -> Result<Self, StoreError> {
        let root = root.as_ref();
        let (spool, lock) = Spool::open(root)?;
        let root = fs::canonicalize(root).map_err(|error| StoreError::at(root, error))?;
        let shelf = Shelf::local(root.clone())?;
        finishing::recover(&shelf, &spool).await?;
        let room = || Arc::new(Semaphore::new(limits.backlog_bytes.min(Semaphore::MAX_PERMITS)));
        let writer = Writer::start(room(), limits.audio_bytes).map_err(|error| StoreError::at(root, error))?;
        let shared = Shared {
            shelf,
            spool: Arc::new(spool),
            limits,
            room: room(),
            finishing: Semaphore::new(FINISHING),
            tasks: TaskTracker::new(),
            writer: Mutex::new(Some(writer)),
            lock: Mutex::new(Some(lock)),
        };
        Ok(Self { shared: Arc::new(shared) })
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
            let path = self.shared.spool.file(&start.session_id, Part::Audio);
            writer.tape(&start.session_id, format, path)
        });
        Some(Recording::new(self.shared.clone(), start, tape))
    }

    /// A kept session of this tenant.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or any error of the disk.
    pub async fn get(&self, tenant: &str, id: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        let place = Place::of(TenantFolder::of(tenant), id);
        let Some(summary) = self.shared.summary(tenant, &place).await? else { return Ok(None) };
        let transcript: Option<Transcript> = self.shared.parsed(&place.transcript()).await?;
        // Deleted in between.
        Ok(transcript.map(|transcript| StoredSession { summary, transcript }))
    }

    /// The WAV file of a kept session of this tenant, if it has one.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], or any error of the disk.
    pub async fn audio(&self, tenant: &str, id: &SessionId) -> Result<Option<AudioStream>, StoreError> {
        let place = Place::of(TenantFolder::of(tenant), id);
        match self.shared.summary(tenant, &place).await? {
            Some(summary) if summary.has_audio() => self.shared.shelf.stream(&place.audio()).await,
            _ => Ok(None),
        }
    }

    /// Takes no more sessions, waits for the open ones to be finished and lets go of the folder.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] when recordings are still open after twice the patience, or the disk hangs. What is then in
    /// the spool is dealt with when the archive is opened again.
    pub async fn close(&self) -> Result<(), StoreError> {
        let Some((writer, writer_ended)) = self.shared.writer.lock().take() else { return Ok(()) };
        drop(writer);
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

impl Shared {
    /// What ran, if this tenant may see it.
    pub(crate) async fn summary(&self, tenant: &str, place: &Place) -> Result<Option<SessionSummary>, StoreError> {
        let session: Option<SessionFile> = self.parsed(&place.session()).await?;
        let now = SystemTime::now();
        let shown = session.filter(|session| &*session.tenant == tenant && !session.summary.is_expired(now));
        Ok(shown.map(|session| session.summary))
    }

    async fn parsed<T: DeserializeOwned>(&self, key: &object_store::path::Path) -> Result<Option<T>, StoreError> {
        let Some(content) = self.shelf.read(key).await? else { return Ok(None) };
        let parsed = serde_json::from_slice(&content);
        parsed.map(Some).map_err(|error| StoreError::damaged(self.shelf.path(key), &error))
    }
}
