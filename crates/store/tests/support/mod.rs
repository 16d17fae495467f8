//! Sessions to keep, and a look at the folder they are kept in.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use dalston_protocol::{
    RequestId, Segment, SessionId,
    realtime::{Retention, SessionConfig, SessionEnd},
};
use dalston_store::{Archive, Incarnation, Limits, Recording, RecordingStart, SessionRecord, SessionSummary};
use futures_util::TryStreamExt;

pub const TENANT: &str = "key_1";
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An archive in a folder of its own.
pub struct Fixture {
    pub archive: Archive,
    pub folder: tempfile::TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    /// In a new folder within this one.
    pub async fn within(parent: PathBuf) -> Self {
        let folder = tempfile::tempdir_in(parent).unwrap();
        Self { archive: Archive::open(folder.path(), Limits::default()).await.unwrap(), folder }
    }

    pub async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { archive: Archive::open(folder.path(), limits).await.unwrap(), folder }
    }

    /// The same folder, opened again.
    pub async fn reopened(self) -> Self {
        self.archive.close().await.unwrap();
        Self { archive: Archive::open(self.folder.path(), Limits::default()).await.unwrap(), folder: self.folder }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The file that a session's audio grows in.
    pub fn spooled_audio(&self, id: &SessionId) -> PathBuf {
        self.root().join("spool").join(format!("{id}.wav"))
    }

    pub fn record(&self, start: RecordingStart) -> Recording {
        self.archive.record(start).expect("the session is to be kept")
    }

    /// Keeps a session that said this.
    pub async fn keep(&self, start: RecordingStart, text: &str) -> SessionSummary {
        let end = said(&start, text);
        self.record(start).finish(end).await.unwrap()
    }

    pub async fn wav(&self, id: &SessionId) -> Option<Vec<u8>> {
        wav(&self.archive, TENANT, id).await
    }
}

pub async fn wav(archive: &Archive, tenant: &str, id: &SessionId) -> Option<Vec<u8>> {
    let audio = archive.audio(tenant, id).await.unwrap()?;
    let pieces: Vec<_> = audio.stream.try_collect().await.unwrap();
    let wav = pieces.concat();
    assert_eq!(wav.len() as u64, audio.bytes);
    Some(wav)
}

/// A session that is kept for ever, without its audio.
pub fn start() -> RecordingStart {
    RecordingStart {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        tenant: TENANT.into(),
        config: SessionConfig { retention: Retention::Forever, ..SessionConfig::default() },
        language: "en".into(),
        model: "loopback/loopback".into(),
        started_at: SystemTime::now(),
        incarnation: Incarnation::FIRST,
    }
}

/// A session that is kept for ever, with its audio.
pub fn start_with_audio(encoding: &str, channels: u8) -> RecordingStart {
    let config = SessionConfig { encoding: encoding.into(), channels, store_audio: true, ..start().config };
    RecordingStart { config, ..start() }
}

pub fn start_kept_for(days: u16) -> RecordingStart {
    let mut start = start();
    start.config.retention = Retention::Days(days);
    start
}

pub fn start_of(tenant: &str) -> RecordingStart {
    RecordingStart { tenant: tenant.into(), ..start() }
}

/// The end of a session that said this.
pub fn said(start: &RecordingStart, text: &str) -> SessionRecord {
    let segment = Segment {
        id: 0,
        start: 0.5,
        end: 1.5,
        text: text.into(),
        speaker: None,
        channel: None,
        confidence: Some(0.75),
        words: Vec::new(),
        words_estimated: false,
    };
    SessionRecord {
        outcome: "completed".into(),
        close_code: 1000,
        end: SessionEnd {
            session_id: start.session_id.clone(),
            total_audio_seconds: 2.0,
            total_speech_duration: 1.0,
            transcript: text.into(),
            segments: vec![segment],
            truncated: false,
        },
        ended_at: SystemTime::now(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
    }
}

pub fn ids(sessions: &[SessionSummary]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.session_id.clone()).collect()
}

/// Every session of a tenant, page by page.
pub async fn all(archive: &Archive, tenant: &str, limit: usize) -> Vec<SessionSummary> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = archive.list(tenant, limit, cursor.as_ref()).await.unwrap();
        assert!(page.sessions.len() <= limit);
        all.extend(page.sessions);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

/// The names of all files below a folder of the archive, relative to it.
pub fn files(root: &Path, folder: &str) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let folder = root.join(folder);
    let mut found = Vec::new();
    walk(&folder, &mut found);
    let mut names: Vec<_> =
        found.iter().map(|path| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}
