//! What the artifacts of jobs promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use dalston_store::{
    Artifacts, StoreError,
    artifacts::{PART, PIECE, Stored},
    testing::S3Server,
};
use futures_util::TryStreamExt;
use tempfile::TempDir;

/// Of `abc`, as FIPS 180-2 gives it.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn artifacts() -> (Artifacts, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Artifacts::local(folder.path()).unwrap(), folder)
}

/// Artifacts, what they lie in, and how to tell what is half written there.
struct Kept {
    kind: &'static str,
    artifacts: Artifacts,
    folder: TempDir,
    _server: Option<S3Server>,
}

impl Kept {
    fn half_written(&self) -> Vec<PathBuf> {
        let is_half = |path: &PathBuf| {
            let text = path.to_str().unwrap();
            text.contains("/incoming/") || text.contains(".upload")
        };
        files(self.folder.path()).into_iter().filter(is_half).collect()
    }
}

/// A folder, a bucket, and a part of a bucket: what is promised holds for each.
async fn all_kinds() -> Vec<Kept> {
    let (artifacts, folder) = artifacts();
    let mut kinds = vec![Kept { kind: "folder", artifacts, folder, _server: None }];
    for (kind, prefix) in [("bucket", ""), ("prefix", "some/where")] {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(folder.path()).unwrap();
        let artifacts = Artifacts::at(&server.location(prefix)).await.unwrap();
        kinds.push(Kept { kind, artifacts, folder, _server: Some(server) });
    }
    kinds
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Bytes that repeat in no piece.
fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .scan(1_u32, |state, _| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        })
        .collect()
}

#[tokio::test]
async fn what_is_written_in_pieces_comes_back_whole() {
    for kept in all_kinds().await {
        let (artifacts, kind) = (&kept.artifacts, kept.kind);
        let audio = noise(2 * PART + 12_345);
        let mut upload = artifacts.writer("jobs/job_1/source", u64::MAX).await.unwrap();
        for piece in audio.chunks(70_001) {
            upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let stored = upload.finish().await.unwrap();
        assert_eq!(stored.bytes, audio.len() as u64);

        assert_eq!(artifacts.get("jobs/job_1/source", u64::MAX).await.unwrap(), audio);
        let (bytes, stream) = artifacts.stream("jobs/job_1/source").await.unwrap();
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!((bytes, pieces.concat()), (stored.bytes, audio.clone()));
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE), "{kind}: memory does not grow with the artifact");
        let file = kept.folder.path().join("copy");
        assert_eq!(artifacts.fetch("jobs/job_1/source", &file).await.unwrap(), stored.bytes);
        assert_eq!(fs::read(&file).unwrap(), audio);
        assert_eq!(artifacts.put_file("jobs/job_1/prepare/1/audio.wav", &file).await.unwrap(), stored);
        assert_eq!(artifacts.get("jobs/job_1/prepare/1/audio.wav", u64::MAX).await.unwrap(), audio);
    }
}

#[tokio::test]
async fn the_checksum_is_that_of_what_was_written() {
    for kept in all_kinds().await {
        let artifacts = &kept.artifacts;
        assert_eq!(artifacts.put("a/abc", "abc").await.unwrap(), Stored { bytes: 3, sha256: ABC.into() });
        let mut upload = artifacts.writer("a/in_pieces", 3).await.unwrap();
        for piece in ["a", "", "bc"] {
            upload.write(piece.into()).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap().sha256, ABC);
        assert_eq!(artifacts.put("a/empty", "").await.unwrap().bytes, 0);
        assert_eq!(artifacts.get("a/empty", 0).await.unwrap(), "");
    }
}

#[tokio::test]
async fn an_artifact_is_not_seen_before_it_is_finished() {
    for kept in all_kinds().await {
        let (artifacts, kind) = (&kept.artifacts, kept.kind);
        for way_out in ["dropped", "aborted", "finished"] {
            let key = format!("jobs/job_1/{way_out}");
            let mut upload = artifacts.writer(&key, u64::MAX).await.unwrap();
            upload.write(noise(PART + PIECE).into()).await.unwrap();
            assert!(matches!(artifacts.get(&key, u64::MAX).await, Err(StoreError::NoArtifact { .. })));
            assert_eq!(artifacts.list("jobs/job_1").await.unwrap(), []);
            match way_out {
                "dropped" => drop(upload),
                "aborted" => upload.abort().await.unwrap(),
                _ => drop(upload.finish().await.unwrap()),
            }
        }
        let listed = artifacts.list("jobs/job_1").await.unwrap();
        assert_eq!(listed, [("jobs/job_1/finished".into(), (PART + PIECE) as u64)], "{kind}");
        // An upload that is dropped removes its file in the background.
        let cleared = async {
            while !kept.half_written().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), cleared).await.unwrap_or_else(|_| panic!("{kind}"));
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing() {
    for kept in all_kinds().await {
        let (artifacts, kind) = (&kept.artifacts, kept.kind);
        let mut upload = artifacts.writer("jobs/job_1/source", 10).await.unwrap();
        upload.write("12345".into()).await.unwrap();
        upload.write("67890".into()).await.unwrap();
        let error = upload.write("1".into()).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { limit: 10, .. }), "{error}");
        let error = upload.finish().await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { limit: 10, .. }), "{error}");
        assert_eq!(artifacts.list("jobs").await.unwrap(), []);
        assert!(kind != "folder" || !kept.folder.path().join("jobs").exists(), "{kind}");

        artifacts.put("jobs/job_1/source", "1234567890").await.unwrap();
        let error = artifacts.get("jobs/job_1/source", 9).await.unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { limit: 9, .. }), "{error}");
        assert_eq!(artifacts.get("jobs/job_1/source", 10).await.unwrap(), "1234567890");
    }
}

#[tokio::test]
async fn keys_lead_nowhere_else() {
    let (artifacts, folder) = artifacts();
    let outside = folder.path().parent().unwrap();
    let before = fs::read_dir(outside).unwrap().count();
    for key in ["../escaped", "/escaped", "jobs/../../escaped", "", "incoming/x", "a//b"] {
        assert!(matches!(artifacts.put(key, "x").await, Err(StoreError::InvalidKey { .. })), "{key}");
        assert!(matches!(artifacts.get(key, 1).await, Err(StoreError::InvalidKey { .. })), "{key}");
        assert!(matches!(artifacts.list(key).await, Err(StoreError::InvalidKey { .. })), "{key}");
        assert!(matches!(artifacts.remove(key).await, Err(StoreError::InvalidKey { .. })), "{key}");
    }
    assert!(!outside.join("escaped").exists());
    assert!(fs::read_dir(outside).unwrap().count() >= before.min(1), "the folders around it stand");
}

#[tokio::test]
async fn a_prefix_is_removed_and_its_neighbours_are_not() {
    for kept in all_kinds().await {
        let (artifacts, kind) = (&kept.artifacts, kept.kind);
        for key in ["jobs/job_1/source", "jobs/job_1/prepare/1/audio.wav", "jobs/job_12/source"] {
            artifacts.put(key, "x").await.unwrap();
        }
        let (_, stream) = artifacts.stream("jobs/job_1/source").await.unwrap();
        assert_eq!(artifacts.remove("jobs/job_1").await.unwrap(), 2);
        assert_eq!(artifacts.list("jobs").await.unwrap(), [("jobs/job_12/source".into(), 1)]);
        assert!(!kept.folder.path().join("jobs/job_1").exists(), "{kind}");
        assert_eq!(artifacts.remove("jobs/job_1").await.unwrap(), 0);
        assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().concat(), b"x", "{kind}: who reads goes on");
        assert_eq!(artifacts.remove("jobs/job_12/source").await.unwrap(), 1);
        assert_eq!(artifacts.list("jobs").await.unwrap(), []);
        artifacts.put("jobs/job_1/source", "again").await.unwrap();
    }
}

#[tokio::test]
async fn writing_again_replaces_the_whole() {
    for kept in all_kinds().await {
        let artifacts = &kept.artifacts;
        for content in ["a longer one", "short"] {
            artifacts.put("a", content).await.unwrap();
            assert_eq!(artifacts.get("a", 100).await.unwrap(), content);
        }
    }
}

#[tokio::test]
async fn remains_of_killed_processes_are_cleared_and_uploads_under_way_are_not() {
    let (artifacts, folder) = artifacts();
    let mut upload = artifacts.writer("a", 100).await.unwrap();
    upload.write("x".into()).await.unwrap();
    let left = folder.path().join("incoming/0123456789abcdef#1");
    fs::write(&left, "half").unwrap();
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::open(&left).unwrap().set_modified(yesterday).unwrap();
    Artifacts::local(folder.path()).unwrap();
    assert!(!left.exists());
    upload.finish().await.unwrap();
    assert_eq!(artifacts.get("a", 1).await.unwrap(), "x");
}

#[tokio::test]
async fn names_are_those_that_come_next() {
    for kept in all_kinds().await {
        let artifacts = &kept.artifacts;
        for key in ["jobs/b/source", "jobs/a/prepare/1/audio.wav", "jobs/a/source", "jobs/c", "other/d"] {
            artifacts.put(key, "x").await.unwrap();
        }
        let mut names = artifacts.names("jobs").await.unwrap();
        names.sort();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(artifacts.names("nothing").await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn who_has_the_folder_alone_clears_all_that_is_half_written() {
    let (artifacts, folder) = artifacts();
    artifacts.put("a", "whole").await.unwrap();
    let left = folder.path().join("incoming/0123456789abcdef#1");
    fs::write(&left, "half").unwrap();
    let artifacts = Artifacts::local_alone(folder.path()).unwrap();
    assert!(!left.exists());
    assert_eq!(artifacts.get("a", 5).await.unwrap(), "whole");
}

#[tokio::test]
async fn what_people_said_is_for_nobody_else_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("artifacts");
    Artifacts::local(&root).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
}
