//! Sessions that one process keeps and others read, on a shelf that all of them reach.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    time::{Duration, SystemTime},
};

use dalston_protocol::SessionId;
use dalston_store::{Archive, Limits, Location, RecordingStart, SessionSummary, Shelf, StoreError, testing::S3Server};
use support::{DAY, TENANT, all, files, ids, said, start, start_kept_for, start_with_audio, wav};
use tempfile::TempDir;
use tokio::time::timeout;

const AUDIO: usize = 6 * 1024 * 1024;

/// A shelf that several processes reach, and the folder of one worker.
struct Shared {
    location: Location,
    worker: TempDir,
    folder: TempDir,
    server: Option<S3Server>,
}

impl Shared {
    fn bucket() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(folder.path()).unwrap();
        let location = server.location("kept");
        Self { location, worker: tempfile::tempdir().unwrap(), folder, server: Some(server) }
    }

    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::folder(folder.path().join("shelf"));
        Self { location, worker: tempfile::tempdir().unwrap(), folder, server: None }
    }

    async fn worker(&self) -> Archive {
        self.worker_with(Limits::default()).await
    }

    async fn worker_with(&self, limits: Limits) -> Archive {
        Archive::with_shelf(self.worker.path(), &self.location, limits).await.unwrap()
    }

    async fn gateway(&self) -> Shelf {
        Shelf::at(&self.location).await.unwrap()
    }

    fn spool(&self) -> Vec<String> {
        files(self.worker.path(), "spool")
    }

    /// The objects of sessions, whichever way they lie.
    fn objects(&self) -> Vec<String> {
        let is_of_session = |name: &String| name.contains("sessions/") || name.contains("expires/");
        files(self.folder.path(), "").into_iter().filter(is_of_session).collect()
    }
}

fn all_kinds() -> [Shared; 2] {
    [Shared::bucket(), Shared::folder()]
}

async fn keep(archive: &Archive, start: RecordingStart, audio: usize) -> Result<SessionSummary, StoreError> {
    let end = said(&start, start.session_id.as_str());
    let recording = archive.record(start).unwrap();
    for portion in vec![7; audio].chunks(32_000) {
        recording.audio(portion);
    }
    recording.finish(end).await
}

async fn assert_whole(shelf: &Shelf, id: &SessionId) {
    let kept = shelf.get(TENANT, id).await.unwrap().unwrap_or_else(|| panic!("{id} is gone"));
    assert_eq!(kept.transcript.text, id.as_str());
}

#[tokio::test]
async fn any_gateway_reads_and_deletes_what_any_worker_kept() {
    for shared in all_kinds() {
        let worker = shared.worker().await;
        let (one, other) = (shared.gateway().await, shared.gateway().await);
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(keep(&worker, start_kept_for(30), 0).await.unwrap().session_id);
        }
        // Longer than a part.
        let heard = keep(&worker, start_with_audio("pcm_s16le", 1), AUDIO).await.unwrap();
        assert!(heard.audio.unwrap().complete);
        kept.push(heard.session_id.clone());
        kept.reverse();
        assert_eq!(shared.spool(), [""; 0], "what is on the shelf has left the spool");
        assert_eq!(ids(&all(&worker, TENANT, 3).await), kept);
        // A gateway has no archive.
        assert_eq!(ids(&one.list(TENANT, 10, None).await.unwrap().sessions), kept);
        for id in &kept {
            assert_whole(&other, id).await;
        }
        let audio = other.audio(TENANT, &heard.session_id).await.unwrap().unwrap();
        assert_eq!(audio.bytes, 44 + AUDIO as u64);
        assert!(wav(&worker, TENANT, &heard.session_id).await.unwrap()[44..].iter().all(|byte| *byte == 7));

        assert!(one.get("key_2", &kept[0]).await.unwrap().is_none(), "tenants do not see each other");
        assert!(!one.delete("key_2", &kept[0]).await.unwrap());
        assert!(one.delete(TENANT, &kept[0]).await.unwrap());
        assert!(!other.delete(TENANT, &kept[0]).await.unwrap());
        assert!(worker.get(TENANT, &kept[0]).await.unwrap().is_none());
        assert_eq!(ids(&other.list(TENANT, 10, None).await.unwrap().sessions), kept[1..]);
        worker.close().await.unwrap();
    }
}

#[tokio::test]
async fn several_sweepers_at_once_remove_each_session_and_harm_none() {
    for shared in all_kinds() {
        let worker = shared.worker().await;
        for _ in 0..6 {
            keep(&worker, start_kept_for(1), 0).await.unwrap();
        }
        let stays = keep(&worker, start_kept_for(30), 0).await.unwrap().session_id;
        let sweepers = [shared.gateway().await, shared.gateway().await, shared.gateway().await];
        let then = SystemTime::now() + DAY + DAY / 24;
        let swept = futures_util::future::join_all(sweepers.iter().map(|shelf| shelf.sweep(then))).await;
        assert!(swept.into_iter().map(Result::unwrap).sum::<usize>() >= 6);
        assert_eq!(ids(&all(&worker, TENANT, 10).await), [stays]);
        assert_eq!(shared.objects().len(), 3, "a record, its transcript and its note: {:?}", shared.objects());
        worker.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_finds_no_shelf_waits_in_the_spool_and_is_found_later() {
    let mut shared = Shared::bucket();
    let limits = Limits { again: Duration::from_millis(200), patience: Duration::from_secs(60), ..Limits::default() };
    let worker = shared.worker_with(limits).await;
    let server = shared.server.take().unwrap();
    let address = server.address();
    drop(server);
    let (one, other) = (start_with_audio("pcm_s16le", 1), start());
    let kept = [one.session_id.clone(), other.session_id.clone()];
    let (first, second) = tokio::join!(keep(&worker, one, 1000), keep(&worker, other, 0));
    for outcome in [first, second] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Postponed(_)), "{error}");
    }
    assert_eq!((worker.postponed(), shared.spool().len()), (2, 5));
    shared.server = Some(S3Server::start_at(shared.folder.path(), address).unwrap());
    let caught_up = async {
        while worker.postponed() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), caught_up).await.unwrap();
    for id in &kept {
        assert_whole(&worker, id).await;
    }
    assert_eq!(shared.spool(), [""; 0]);
    worker.close().await.unwrap();
}

/// The spool as a crash leaves it after the session was seen and before it left the spool.
#[tokio::test]
async fn a_session_that_was_deleted_does_not_come_back_from_the_spool() {
    for shared in all_kinds() {
        let worker = shared.worker().await;
        let deleted = keep(&worker, start(), 0).await.unwrap().session_id;
        let stays = keep(&worker, start(), 0).await.unwrap().session_id;
        worker.close().await.unwrap();
        for id in [&deleted, &stays] {
            let name = shared.objects().into_iter().find(|name| name.ends_with(&format!("{id}/session.json"))).unwrap();
            let spooled = shared.worker.path().join("spool").join(format!("{id}.json"));
            fs::copy(shared.folder.path().join(name), spooled).unwrap();
        }
        assert!(shared.gateway().await.delete(TENANT, &deleted).await.unwrap());
        let worker = shared.worker().await;
        assert_eq!(ids(&all(&worker, TENANT, 10).await), [stays]);
        assert_eq!((shared.spool(), worker.postponed()), (vec![], 0));
        worker.close().await.unwrap();
    }
}

#[tokio::test]
async fn one_worker_has_a_folder_and_each_its_own() {
    let shared = Shared::folder();
    let worker = shared.worker().await;
    let second = Archive::with_shelf(shared.worker.path(), &shared.location, Limits::default()).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })));
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Archive::with_shelf(elsewhere.path(), &shared.location, Limits::default()).await.unwrap();
    let id = keep(&other, start(), 0).await.unwrap().session_id;
    assert_whole(&worker, &id).await;
}
