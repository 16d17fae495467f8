//! Disks that are full, slow, forbidden or damaged, and callers that go away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::symlink,
    path::Path,
    sync::OnceLock,
    time::Duration,
};

use dalston_protocol::SessionId;
use dalston_store::{Archive, Limits, StoreError, StoredAudio};
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode};
use support::{Fixture, TENANT, all, files, ids, said, start, start_with_audio};

const PAGE: usize = 32 * 1024;
const NOTHING_KEPT: StoredAudio = StoredAudio { complete: false, bytes: 0, seconds: 0.0 };

/// What this process logged so far. One subscriber for all tests: the archive logs from a thread of its own, too.
fn log() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOG.get_or_init(|| {
        tracing_subscriber::fmt().json().with_writer(|| LogWriter).init();
        Mutex::default()
    })
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        log().lock().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The warnings about a session, of one event.
fn warnings(event: &str, id: &SessionId) -> usize {
    let log = String::from_utf8(log().lock().clone()).unwrap();
    log.lines().filter(|line| line.contains("WARN") && line.contains(event) && line.contains(id.as_str())).count()
}

/// A file that takes nothing until somebody opens its other end: a disk that hangs.
fn hang(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
}

/// The disk works again, while the file is held.
fn unhang(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[tokio::test]
async fn a_full_disk_costs_the_audio_and_not_the_transcript() {
    log();
    let fixture = Fixture::new().await;
    let (unlucky, lucky) = (start_with_audio("pcm_s16le", 1), start_with_audio("pcm_s16le", 1));
    let (id, end, lucky_end) = (unlucky.session_id.clone(), said(&unlucky, "x"), said(&lucky, "y"));
    // Every write to it says that no space is left on the device.
    symlink("/dev/full", fixture.spooled_audio(&id)).unwrap();
    let (unlucky, lucky) = (fixture.record(unlucky), fixture.record(lucky));
    for _ in 0..100 {
        unlucky.audio(&[1; 4096]);
        lucky.audio(&[2; 4096]);
    }
    assert_eq!(unlucky.finish(end).await.unwrap().audio, Some(NOTHING_KEPT));
    assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap().unwrap().transcript.text, "x");
    assert_eq!(fixture.wav(&id).await, None);
    assert_eq!(warnings("audio_given_up", &id), 1);
    let lucky = lucky.finish(lucky_end).await.unwrap().audio.unwrap();
    assert_eq!((lucky.complete, lucky.bytes), (true, 44 + 100 * 4096));
    assert_eq!(files(fixture.root(), "spool"), [""; 0]);
}

#[tokio::test]
async fn a_transcript_that_finds_no_room_says_where() {
    let fixture = Fixture::new().await;
    let start = start_with_audio("pcm_s16le", 1);
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    let path = fixture.root().join("spool").join(format!("{id}.transcript.json"));
    symlink("/dev/full", &path).unwrap();
    let recording = fixture.record(start);
    recording.audio(&[1; PAGE]);
    match recording.finish(end).await {
        Err(StoreError::Full { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap(), None);
    assert_eq!(files(fixture.root(), "spool"), [""; 0], "what cannot be kept takes no room");
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hold_up_a_session() {
    log();
    let limits = Limits { backlog_bytes: PAGE + PAGE / 2, patience: Duration::from_secs(1), ..Limits::default() };
    let fixture = Fixture::with(limits).await;
    let start = start_with_audio("pcm_s16le", 1);
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    hang(&fixture.spooled_audio(&id));
    let recording = fixture.record(start);
    for _ in 0..1000 {
        recording.audio(&[1; 10_000]);
    }
    let other = fixture.keep(support::start(), "another session is kept meanwhile").await;
    assert_eq!(recording.finish(end).await.unwrap().audio, Some(NOTHING_KEPT));
    assert_eq!(warnings("audio_given_up", &id), 1);
    assert_eq!(ids(&all(&fixture.archive, TENANT, 10).await), [other.session_id, id.clone()]);

    let held = unhang(&fixture.spooled_audio(&id));
    fixture.archive.close().await.unwrap();
    assert_eq!(files(fixture.root(), "spool"), [""; 0], "what nobody waited for is thrown away");
    drop(held);
}

#[tokio::test]
async fn audio_is_given_up_from_the_first_gap_on() {
    log();
    let fixture = Fixture::with(Limits { backlog_bytes: 2 * PAGE, ..Limits::default() }).await;
    let (hanging, start) = (start_with_audio("pcm_s16le", 1), start_with_audio("pcm_s16le", 1));
    let (hanging_path, id, end) =
        (fixture.spooled_audio(&hanging.session_id), start.session_id.clone(), said(&start, "x"));
    hang(&hanging_path);
    let (hanging, recording) = (fixture.record(hanging), fixture.record(start));
    let bytes: Vec<u8> = (0..8 * PAGE).map(|i| (i / 256 + i) as u8).collect();
    recording.audio(&bytes[..PAGE]);
    hanging.audio(&[0; PAGE]);
    for page in bytes[PAGE..].chunks(PAGE) {
        recording.audio(page);
    }
    let held = unhang(&hanging_path);
    let audio = recording.finish(end).await.unwrap().audio.unwrap();
    drop((hanging, held));
    assert!(!audio.complete);
    let wav = fixture.wav(&id).await.unwrap();
    assert!((PAGE..8 * PAGE).contains(&(wav.len() - 44)), "{} bytes", wav.len());
    assert_eq!(wav[44..], bytes[..wav.len() - 44], "what is kept is the beginning, without a gap");
    assert_eq!(warnings("audio_given_up", &id), 1);
}

#[tokio::test]
async fn a_transcript_that_may_not_wait_is_refused_whole() {
    let fixture = Fixture::with(Limits { backlog_bytes: 10, ..Limits::default() }).await;
    let start = start_with_audio("pcm_s16le", 1);
    let end = said(&start, "x");
    let recording = fixture.record(start);
    recording.audio(&[1; PAGE]);
    assert!(matches!(recording.finish(end).await, Err(StoreError::Overloaded { limit: 10 })));
    fixture.archive.close().await.unwrap();
    assert_eq!(files(fixture.root(), ""), ["lock"]);
}

#[tokio::test]
async fn a_folder_that_may_not_be_written_is_named() {
    // Not even root makes a folder here.
    let root = Path::new("/sys/dalston-archive");
    match Archive::open(root, Limits::default()).await {
        Err(StoreError::Denied { path, .. }) => assert!(path.starts_with(root), "{path:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_the_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("archive");
    File::create(&root).unwrap();
    match Archive::open(&root, Limits::default()).await {
        Err(StoreError::Io { path, .. }) => assert!(path.starts_with(&root), "{path:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_abandoned_session_leaves_nothing() {
    let fixture = Fixture::new().await;
    let recording = fixture.record(start_with_audio("pcm_s16le", 1));
    recording.audio(&[1; 10 * PAGE]);
    drop(recording);
    fixture.archive.close().await.unwrap();
    assert_eq!(files(fixture.root(), ""), ["lock"]);
}

#[tokio::test]
async fn a_session_is_kept_even_if_nobody_waits_for_it() {
    let fixture = Fixture::new().await;
    let start = start_with_audio("pcm_s16le", 1);
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    let recording = fixture.record(start);
    recording.audio(&[1; PAGE]);
    // Asked once, then dropped.
    let _ = tokio::time::timeout(Duration::ZERO, recording.finish(end)).await;
    let fixture = fixture.reopened().await;
    assert!(fixture.archive.get(TENANT, &id).await.unwrap().is_some());
    assert_eq!(fixture.wav(&id).await.unwrap().len(), 44 + PAGE);
}

#[tokio::test]
async fn an_archive_with_an_open_session_stays_locked() {
    let fixture = Fixture::with(Limits { patience: Duration::from_millis(50), ..Limits::default() }).await;
    let recording = fixture.record(start());
    assert!(matches!(fixture.archive.close().await, Err(StoreError::TooSlow(_))));
    assert!(matches!(Archive::open(fixture.root(), Limits::default()).await, Err(StoreError::InUse { .. })));
    drop(recording);
}

#[tokio::test]
async fn a_damaged_record_is_named_and_hides_no_other() {
    log();
    let fixture = Fixture::new().await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(fixture.keep(start(), "x").await.session_id);
    }
    let name =
        files(fixture.root(), "sessions").into_iter().find(|name| name.ends_with(&format!("{}/session.json", kept[1])));
    let path = fixture.root().join("sessions").join(name.unwrap());
    std::fs::write(&path, br#"{"tenant":"key_1","audio_seconds":"what was said"}"#).unwrap();
    match fixture.archive.get(TENANT, &kept[1]).await {
        Err(StoreError::Damaged { path: named, reason }) => {
            assert!(!reason.contains("said"), "{reason}");
            assert!(named.ends_with(path.strip_prefix(fixture.root()).unwrap()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ids(&all(&fixture.archive, TENANT, 1).await), [kept[2].clone(), kept[0].clone()]);
    assert!(warnings("session_damaged", &kept[1]) > 0);
}
