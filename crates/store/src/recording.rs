//! One live session while it is open.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{
    RecordingStart, SessionRecord, SessionSummary, StoreError,
    archive::Shared,
    finishing::{self, Finished},
    session::SessionFile,
    tape::Tape,
};

/// A live session that will be kept. Dropped without [`finish`](Self::finish) it leaves nothing.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<Shared>,
    start: RecordingStart,
    tape: Option<Tape>,
    /// `Archive::close` waits for it.
    open: TaskTrackerToken,
}

impl Recording {
    pub(crate) fn new(shared: Arc<Shared>, start: RecordingStart, tape: Option<Tape>) -> Self {
        let open = shared.tasks.token();
        Self { shared, start, tape, open }
    }

    /// The client's bytes in their order, in any portions, however a sample is split. Never waits and never fails: audio
    /// that cannot be kept is given up, and the record says so. Does nothing unless the session asked for its audio.
    pub fn audio(&self, bytes: &[u8]) {
        if let Some(tape) = &self.tape {
            tape.push(bytes);
        }
    }

    /// Keeps the session. On return it is on the disk and can be found, unless it was deleted meanwhile or kept by whoever had it
    /// later.
    ///
    /// Dropping the future does not undo it: the archive finishes what was begun.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too much waits for the disk already; nothing is kept then. [`StoreError::TooSlow`]
    /// when it takes too long; the session may still be kept. [`StoreError::Postponed`] when the shelf cannot be given it now:
    /// it will be. Any other error of the disk: the session is not kept, or is when the archive is opened again.
    pub async fn finish(self, record: SessionRecord) -> Result<SessionSummary, StoreError> {
        let Self { shared, start, tape, open } = self;
        let (session, transcript) = SessionFile::new(start, record);
        let transcript = finishing::json(&transcript);
        let limits = shared.limits;
        let bytes = u32::try_from(transcript.len()).unwrap_or(u32::MAX);
        let room = shared
            .room
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| StoreError::Overloaded { limit: limits.backlog_bytes })?;
        let is_committed = Arc::new(AtomicBool::new(false));
        let finished = Finished { session, transcript, audio: tape.map(Tape::end), is_committed: is_committed.clone() };
        let (tell, told) = oneshot::channel();
        let tasks = &shared.tasks;
        tasks.spawn({
            let shared = shared.clone();
            async move {
                let kept = finished.keep(&shared).await;
                drop((room, open));
                // What was postponed was told, and is kept.
                if let Err(Err(error)) = tell.send(kept)
                    && !matches!(error, StoreError::Postponed(_))
                {
                    tracing::warn!(event = "session_not_kept", %error, "a session was not kept, and nobody waited for it");
                }
            }
        });
        let deadline = 2 * limits.patience;
        match tokio::time::timeout(deadline, told).await {
            Ok(Ok(kept)) => kept,
            // The shelf takes its time.
            Ok(Err(_)) | Err(_) if is_committed.load(Ordering::Relaxed) => {
                Err(StoreError::Postponed(Box::new(StoreError::TooSlow(deadline))))
            }
            Ok(Err(_)) | Err(_) => Err(StoreError::TooSlow(deadline)),
        }
    }
}
