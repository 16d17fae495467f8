//! The way of a session from its end to its place, and the same way after a crash.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use object_store::path::Path as Key;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time;

use crate::{
    SessionSummary, StoreError,
    archive::Shared,
    place::{Place, TenantFolder},
    replacing::Replaced,
    session::SessionFile,
    shelf::Shelf,
    spool::{Part, Spool, Spooled},
    tape::EndedTape,
    tombstone,
};

/// Committed sessions that are not in their place yet. Only their ids: what they are made of lies in the spool, so its disk is
/// their bound.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BTreeSet<Spooled>>);

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn add(&self, id: Spooled) {
        self.0.lock().insert(id);
    }

    fn remove(&self, id: &Spooled) {
        self.0.lock().remove(id);
    }

    fn after(&self, last: Option<&Spooled>) -> Option<Spooled> {
        let waiting = self.0.lock();
        waiting.iter().find(|id| last.is_none_or(|last| *id > last)).cloned()
    }
}

/// A session that ended and is to be kept.
pub(crate) struct Finished {
    pub(crate) session: SessionFile,
    /// `transcript.json`
    pub(crate) transcript: Vec<u8>,
    pub(crate) audio: Option<EndedTape>,
    /// Set when it is sure to be kept.
    pub(crate) is_committed: Arc<AtomicBool>,
}

impl Finished {
    /// Commits it and moves it to its place.
    pub(crate) async fn keep(self, shared: &Shared) -> Result<SessionSummary, StoreError> {
        let Self { mut session, transcript, audio, is_committed } = self;
        if let Some(tape) = audio {
            session.summary.audio = Some(tape.stored(shared.limits.patience).await);
        }
        let has_audio = session.summary.has_audio();
        let id = session.spooled();
        // Nobody closes it.
        let turn = shared.committing.acquire().await;
        let (spool, content) = (shared.spool.clone(), json(&session));
        let committed = tokio::task::spawn_blocking({
            let id = id.clone();
            move || spool.commit(&id, &transcript, &content, has_audio).inspect_err(|_| spool.discard(&id))
        });
        committed
            .await
            .map_err(|error| StoreError::Io { path: shared.spool.file(&id, Part::Session), source: error.into() })??;
        is_committed.store(true, Ordering::Relaxed);
        drop(turn);
        // A shelf that hangs must not hold up those whose turn to be committed it is.
        let published = match time::timeout(shared.limits.patience, shared.publishing.acquire()).await {
            Ok(_turn) => publish(&shared.shelf, &shared.spool, &session).await,
            Err(_) => Err(StoreError::TooSlow(shared.limits.patience)),
        };
        match published {
            Ok(()) => Ok(session.summary),
            Err(error) => {
                tracing::warn!(event = "session_postponed", session_id = %id.id, %error, "a finished session waits in the spool");
                shared.waiting.add(id);
                Err(StoreError::Postponed(Box::new(error)))
            }
        }
    }
}

/// Moves a committed session to its place. Each step may be done again after a crash in any of them.
///
/// On a shelf elsewhere the session is seen before it leaves the spool. Should it be swept in between, or give way to a greater one, and
/// then the process die, it must not be seen again: its transcript is no longer in the spool then, nor on the shelf, and that is how
/// it is told. One that was deleted has a [tombstone](crate::tombstone).
async fn publish(shelf: &Shelf, spool: &Spool, session: &SessionFile) -> Result<(), StoreError> {
    let summary = &session.summary;
    let (id, of) = (session.spooled(), session.incarnation);
    let place = Place::of(TenantFolder::of(&session.tenant), &id.id);
    if shelf.is_buried(&place).await? {
        return withdraw(shelf, spool, session, &place).await;
    }
    let adopt = async |part: Part, key: Key| shelf.adopt(spool, &id, part, &key).await;
    if let Some(at) = summary.expires_at {
        shelf.note(&place.expiry(at)).await?;
    }
    let was_removed = !adopt(Part::Transcript, place.transcript(of)).await?
        || summary.has_audio() && !adopt(Part::Audio, place.audio(of)).await?;
    let replaced = if was_removed { Replaced::Removed } else { shelf.replace(spool, session, &place).await? };
    match replaced {
        Replaced::Stands(Some(before)) if before.incarnation != of => {
            if let Err(error) = shelf.clear_files(&before, &place).await {
                // It goes with the session.
                tracing::debug!(%error, session_id = %id.id, "a part of a session that is kept whole stays beside it");
            }
        }
        Replaced::Stands(_) => {}
        Replaced::Outdated(later) => {
            tracing::info!(
                event = "session_outdated", session_id = %id.id, incarnation = %of, by = %later.incarnation,
                "a session went on elsewhere and is kept as it ended there"
            );
            shelf.give_way(session, Some(&later), &place).await?;
            spool.discard(&id);
        }
        Replaced::Deleted => withdraw(shelf, spool, session, &place).await?,
        Replaced::Removed => {
            shelf.clear_remains(session, &place).await?;
            spool.discard(&id);
        }
    }
    Ok(())
}

/// Leaves nothing of a session that was deleted while this record of it was on its way.
async fn withdraw(shelf: &Shelf, spool: &Spool, session: &SessionFile, place: &Place) -> Result<(), StoreError> {
    tracing::info!(
        event = "session_was_deleted", session_id = %session.summary.session_id, incarnation = %session.incarnation,
        "a session was deleted before all that had a part of it were done"
    );
    shelf.remove_session(place).await?;
    shelf.clear_note(session, None, place).await?;
    spool.discard(&session.spooled());
    Ok(())
}

/// The same for a session whose `session.json` is in the spool only.
async fn publish_spooled(shelf: &Shelf, spool: &Spool, id: &Spooled) -> Result<(), StoreError> {
    let content = spool.session(id)?;
    let session: SessionFile =
        serde_json::from_slice(&content).map_err(|error| StoreError::damaged(spool.file(id, Part::Session), &error))?;
    let now = SystemTime::now();
    if session.summary.is_expired(now) {
        // Whoever sweeps may have passed the minute of its end, and would not come again.
        spool.discard(id);
        return Ok(());
    }
    if session.summary.ended_at + tombstone::WAITS <= now {
        tracing::warn!(
            event = "session_too_late", session_id = %id.id, incarnation = %id.incarnation,
            "a finished session waited too long for its place and is given up: nobody knows any more whether it was deleted"
        );
        spool.discard(id);
        return Ok(());
    }
    publish(shelf, spool, &session).await
}

/// Brings committed sessions to their place and removes what else a crash left. Those that could not be brought there.
///
/// A session that cannot be brought there stays in the spool for later: one bad file must not keep a server from starting, and
/// neither must a shelf that does not answer.
pub(crate) async fn recover(shelf: &Shelf, spool: &Spool) -> Result<Waiting, StoreError> {
    let committed = spool.committed()?;
    let (mut kept, mut recovered, mut is_reachable) = (HashSet::new(), 0, true);
    for id in committed {
        if !is_reachable {
            kept.insert(id);
            continue;
        }
        match publish_spooled(shelf, spool, &id).await {
            Ok(()) => recovered += 1,
            Err(error) => {
                tracing::warn!(event = "session_not_recovered", session_id = %id.id, %error, "a finished session stays in the spool");
                is_reachable = !matches!(error, StoreError::Unreachable { .. });
                kept.insert(id);
            }
        }
    }
    let removed = spool.clear_except(&kept)?;
    if recovered + removed > 0 {
        tracing::info!(event = "archive_recovered", recovered, removed, "cleared up after a crash");
    }
    Ok(Waiting(Mutex::new(kept.into_iter().collect())))
}

/// Offers the shelf what waits, until the archive is gone.
pub(crate) async fn catch_up_now_and_then(shared: Weak<Shared>, pause: Duration) {
    loop {
        time::sleep(pause).await;
        let Some(shared) = shared.upgrade() else { return };
        catch_up(&shared).await;
    }
}

/// Stops at the first sign that the shelf does not answer.
async fn catch_up(shared: &Shared) {
    let mut last = None;
    while let Some(id) = shared.waiting.after(last.as_ref()) {
        match publish_spooled(&shared.shelf, &shared.spool, &id).await {
            Ok(()) => {
                shared.waiting.remove(&id);
                tracing::info!(event = "session_caught_up", session_id = %id.id, "a session that waited is on the shelf");
            }
            Err(StoreError::Unreachable { .. }) => return,
            // It was told when it was postponed.
            Err(_) => {}
        }
        last = Some(id);
    }
}

/// What is written to the disk.
pub(crate) fn json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("a record's maps have text for keys, and nothing in it refuses to be serialised")
}
