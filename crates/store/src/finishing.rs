//! The way of a session from its end to its place, and the same way after a crash.

use std::collections::HashSet;

use object_store::path::Path as Key;
use serde::Serialize;

use crate::{
    SessionSummary, StoreError,
    archive::Shared,
    place::{Place, TenantFolder},
    session::SessionFile,
    shelf::Shelf,
    spool::{Part, Spool},
    tape::EndedTape,
};

/// A session that ended and is to be kept.
pub(crate) struct Finished {
    pub(crate) session: SessionFile,
    /// `transcript.json`
    pub(crate) transcript: Vec<u8>,
    pub(crate) audio: Option<EndedTape>,
}

impl Finished {
    /// Commits it and moves it to its place.
    pub(crate) async fn keep(self, shared: &Shared) -> Result<SessionSummary, StoreError> {
        let Self { mut session, transcript, audio } = self;
        if let Some(tape) = audio {
            session.summary.audio = Some(tape.stored(shared.limits.patience).await);
        }
        let has_audio = session.summary.has_audio();
        // Nobody closes it.
        let _turn = shared.finishing.acquire().await;
        let spool = shared.spool.clone();
        let (id, content) = (session.summary.session_id.clone(), json(&session));
        let committed = tokio::task::spawn_blocking(move || {
            spool.commit(&id, &transcript, &content, has_audio).inspect_err(|_| spool.discard(&id))
        });
        committed.await.map_err(|error| StoreError::Io {
            path: shared.spool.file(&session.summary.session_id, Part::Session),
            source: error.into(),
        })??;
        publish(&shared.shelf, &session).await?;
        Ok(session.summary)
    }
}

/// Moves a committed session to its place. Each step may be done again after a crash in any of them.
async fn publish(shelf: &Shelf, session: &SessionFile) -> Result<(), StoreError> {
    let summary = &session.summary;
    let id = &summary.session_id;
    let place = Place::of(TenantFolder::of(&session.tenant), id);
    let adopt = async |part: Part, key: Key| shelf.adopt(&Spool::key(id, part), &key).await;
    if let Some(at) = summary.expires_at {
        shelf.note(&place.expiry(at)).await?;
    }
    adopt(Part::Transcript, place.transcript()).await?;
    if summary.has_audio() {
        adopt(Part::Audio, place.audio()).await?;
    }
    adopt(Part::Session, place.session()).await
}

/// Brings committed sessions to their place and removes what else a crash left.
///
/// A session that cannot be brought there stays in the spool for the next time: one bad file must not keep a server from
/// starting.
pub(crate) async fn recover(shelf: &Shelf, spool: &Spool) -> Result<(), StoreError> {
    let mut kept = HashSet::new();
    let mut recovered = 0;
    for id in spool.committed()? {
        let session = spool.session(&id).and_then(|content| {
            serde_json::from_slice::<SessionFile>(&content)
                .map_err(|error| StoreError::damaged(spool.file(&id, Part::Session), &error))
        });
        let published = match session {
            Ok(session) => publish(shelf, &session).await,
            Err(error) => Err(error),
        };
        match published {
            Ok(()) => recovered += 1,
            Err(error) => {
                tracing::warn!(event = "session_not_recovered", session_id = %id, %error, "a finished session stays in the spool");
                kept.insert(id);
            }
        }
    }
    let removed = spool.clear_except(&kept)?;
    if recovered + removed > 0 {
        tracing::info!(event = "archive_recovered", recovered, removed, "cleared up after a crash");
    }
    Ok(())
}

/// What is written to the disk.
pub(crate) fn json(content: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(content).expect("a record's maps have text for keys, and nothing in it refuses to be serialised")
}
