//! Sessions that two workers had, one of which did not know that it had lost it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use dalston_store::{Archive, Incarnation, Limits, Location, RecordingStart, Shelf, StoredSession, testing::S3Server};
use futures_util::future::join_all;
use support::{DAY, Fixture, TENANT, files, said, start, start_kept_for, start_with_audio};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(60 * 60);
const LATER: Incarnation = Incarnation { epoch: 2, moves: 1 };
const LAST: Incarnation = Incarnation { epoch: 3, moves: 0 };

/// Workers of several machines with one shelf.
struct Cluster {
    workers: Vec<Archive>,
    location: Location,
    folder: TempDir,
    spools: Vec<TempDir>,
    _server: Option<S3Server>,
}

impl Cluster {
    async fn at(location: Location, folder: TempDir, server: Option<S3Server>, workers: usize) -> Self {
        let spools: Vec<_> = (0..workers).map(|_| tempfile::tempdir().unwrap()).collect();
        let open = |spool: &TempDir| Archive::with_shelf(spool.path().to_owned(), &location, Limits::default());
        let workers = join_all(spools.iter().map(open)).await.into_iter().map(Result::unwrap).collect();
        Self { workers, location, folder, spools, _server: server }
    }

    async fn bucket(workers: usize, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = S3Server::start(folder.path()).unwrap();
        let all = server.variables().into_iter().chain(variables.iter().map(|(name, value)| (*name, (*value).into())));
        let location = server.location("kept").with_variables(all);
        Self::at(location, folder, Some(server), workers).await
    }

    async fn folder(workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(Location::folder(folder.path().join("shelf")), folder, None, workers).await
    }

    async fn every_kind(workers: usize) -> [Self; 3] {
        // The last is a server that knows no conditions.
        let without = [("AWS_CONDITIONAL_PUT", "disabled")];
        [Self::folder(workers).await, Self::bucket(workers, &[]).await, Self::bucket(workers, &without).await]
    }

    async fn shelf(&self) -> Shelf {
        Shelf::at(&self.location).await.unwrap()
    }

    fn spooled(&self) -> Vec<String> {
        self.spools.iter().flat_map(|folder| files(folder.path(), "spool")).collect()
    }

    async fn close(&self) {
        for worker in &self.workers {
            worker.close().await.unwrap();
        }
    }

    /// The objects of sessions but for tombstones, by their names alone.
    fn objects(&self) -> Vec<String> {
        let all = files(self.folder.path(), "").into_iter();
        let is_of_session = |name: &String| name.contains("sessions/") || name.contains("expires/");
        let of_sessions = all.filter(|name| is_of_session(name) && !name.ends_with(".deleted"));
        let mut names: Vec<_> =
            of_sessions.map(|name| name.rsplit_once('/').map_or(name.clone(), |(_, last)| last.into())).collect();
        names.sort();
        names
    }
}

/// The same session as another worker has it.
fn part_of(start: &RecordingStart, incarnation: Incarnation) -> RecordingStart {
    let mut start = RecordingStart { incarnation, ..start.clone() };
    start.config.store_audio &= incarnation == Incarnation::FIRST;
    start
}

/// Ends a worker's part of the session, which has said this by now.
async fn finish(worker: &Archive, start: &RecordingStart, incarnation: Incarnation, text: &str, ended: SystemTime) {
    let start = part_of(start, incarnation);
    let mut end = said(&start, text);
    end.ended_at = ended;
    let recording = worker.record(start).unwrap();
    recording.audio(&[7; 64_000]);
    recording.finish(end).await.unwrap();
}

async fn is_gone(shelf: &Shelf, start: &RecordingStart) -> bool {
    let is_listed = !shelf.list(TENANT, 10, None).await.unwrap().sessions.is_empty();
    let id = &start.session_id;
    let is_heard = shelf.audio(TENANT, id).await.unwrap().is_some();
    let is_found = shelf.get(TENANT, id).await.unwrap().is_some();
    !(is_listed || is_heard || is_found || shelf.delete(TENANT, id).await.unwrap())
}

async fn kept(shelf: &Shelf, start: &RecordingStart) -> StoredSession {
    shelf.get(TENANT, &start.session_id).await.unwrap().expect("it is kept")
}

#[tokio::test]
async fn whoever_had_the_session_last_is_believed_whoever_is_done_last() {
    for cluster in Cluster::every_kind(2).await {
        let [first, second] = &cluster.workers[..] else { panic!("two were asked for") };
        let shelf = cluster.shelf().await;
        for is_late in [true, false] {
            let mut start = start_with_audio("pcm_s16le", 1);
            start.config.retention = start_kept_for(30).config.retention;
            let ended = SystemTime::now() - HOUR;
            let whole = finish(second, &start, LATER, "all of it", SystemTime::now());
            let half = finish(first, &start, Incarnation::FIRST, "half", ended);
            if is_late {
                whole.await;
                half.await;
            } else {
                half.await;
                assert_eq!(kept(&shelf, &start).await.transcript.text, "half", "it may be all that there will be");
                assert!(shelf.audio(TENANT, &start.session_id).await.unwrap().is_some());
                whole.await;
            }
            assert_eq!(kept(&shelf, &start).await.transcript.text, "all of it");
            assert!(shelf.audio(TENANT, &start.session_id).await.unwrap().is_none(), "that was of the other half");
            // Nothing of the other one is left, neither what it said nor when it was to go.
            let id = start.session_id.as_str();
            assert_eq!(cluster.objects(), [id, "session.json", "transcript.2-1.json"]);
            assert_eq!(shelf.sweep(ended + 30 * DAY + HOUR / 2).await.unwrap(), 0);
            assert_eq!(kept(&shelf, &start).await.transcript.text, "all of it");
            assert!(shelf.delete(TENANT, &start.session_id).await.unwrap());
            assert_eq!(cluster.objects(), [""; 0]);
        }
        cluster.close().await;
    }
}

#[tokio::test]
async fn of_many_that_are_done_at_once_the_one_that_had_it_last_is_believed() {
    for cluster in [Cluster::folder(6).await, Cluster::bucket(6, &[]).await] {
        let shelf = cluster.shelf().await;
        for _ in 0..4 {
            let start = start_kept_for(30);
            let each = (1..).zip(&cluster.workers).map(|(epoch, worker)| {
                let text = epoch.to_string();
                let start = &start;
                async move { finish(worker, start, Incarnation { epoch, moves: 0 }, &text, SystemTime::now()).await }
            });
            join_all(each).await;
            assert_eq!(kept(&shelf, &start).await.transcript.text, "6");
            assert_eq!(cluster.objects(), [start.session_id.as_str(), "session.json", "transcript.6-0.json"]);
            assert!(shelf.delete(TENANT, &start.session_id).await.unwrap());
        }
        cluster.close().await;
    }
}

#[tokio::test]
async fn a_session_that_comes_back_to_its_worker_is_two_in_its_spool() {
    let fixture = Fixture::new().await;
    let start = start_with_audio("pcm_s16le", 1);
    let (before, after) = (part_of(&start, Incarnation::FIRST), part_of(&start, LATER));
    let (half, whole) = (said(&before, "half"), said(&after, "all of it"));
    let (before, after) = (fixture.record(before), fixture.record(after));
    before.audio(&[7; 64_000]);
    after.finish(whole).await.unwrap();
    before.audio(&[7; 64_000]);
    before.finish(half).await.unwrap();
    assert_eq!(kept(&fixture.archive, &start).await.transcript.text, "all of it");
    assert!(fixture.wav(&start.session_id).await.is_none());
    assert_eq!(files(fixture.root(), "spool"), [""; 0]);

    let fixture = fixture.reopened().await;
    assert_eq!(kept(&fixture.archive, &start).await.transcript.text, "all of it");
    assert!(fixture.archive.delete(TENANT, &start.session_id).await.unwrap());
    assert_eq!(files(fixture.root(), "sessions"), [""; 0]);
}

/// Leaves a spool as a process does that dies when its record has given way, and the record is not forgotten yet. When that ended.
async fn give_way_and_die(worker: &Archive, start: &RecordingStart, shelf: &Path, spool: &Path) -> SystemTime {
    let ended = SystemTime::now() - HOUR;
    finish(worker, start, Incarnation::FIRST, "half", ended).await;
    let record = files(shelf, "").into_iter().find(|name| name.ends_with("session.json")).unwrap();
    let record = fs::read(shelf.join(record)).unwrap();
    finish(worker, start, LATER, "all of it", SystemTime::now()).await;
    worker.close().await.unwrap();
    fs::write(spool.join("spool").join(format!("{}.json", start.session_id)), record).unwrap();
    ended
}

#[tokio::test]
async fn a_record_that_gave_way_is_forgotten_though_its_process_died_before() {
    let assert_whole = async |worker: Archive, start: &RecordingStart, spooled: Vec<String>, ended| {
        assert_eq!((spooled, worker.postponed()), (vec![], 0));
        assert_eq!(kept(&worker, start).await.transcript.text, "all of it");
        assert_eq!(worker.sweep(ended + 30 * DAY + HOUR / 2).await.unwrap(), 0, "it is not its time yet");
        assert_eq!(kept(&worker, start).await.transcript.text, "all of it");
        assert_eq!(worker.sweep(SystemTime::now() + 30 * DAY + HOUR).await.unwrap(), 1);
        worker.close().await.unwrap();
    };
    for cluster in Cluster::every_kind(1).await {
        let (start, spool) = (start_kept_for(30), cluster.spools[0].path());
        let ended = give_way_and_die(&cluster.workers[0], &start, cluster.folder.path(), spool).await;
        let worker = Archive::with_shelf(spool, &cluster.location, Limits::default()).await.unwrap();
        assert_eq!(cluster.objects(), [start.session_id.as_str(), "session.json", "transcript.2-1.json"]);
        assert_whole(worker, &start, cluster.spooled(), ended).await;
        assert_eq!(cluster.objects(), [""; 0]);
    }
    let (fixture, start) = (Fixture::new().await, start_kept_for(30));
    let ended = give_way_and_die(&fixture.archive, &start, fixture.root(), fixture.root()).await;
    let worker = Archive::open(fixture.root(), Limits::default()).await.unwrap();
    assert_whole(worker, &start, files(fixture.root(), "spool"), ended).await;
    assert_eq!(files(fixture.root(), ""), ["lock"]);
}

/// As a worker does that stood still when the others were done, whatever it takes itself for.
#[tokio::test]
async fn what_was_deleted_stays_deleted_whoever_is_done_later() {
    for cluster in Cluster::every_kind(3).await {
        let [first, second, third] = &cluster.workers[..] else { panic!("three were asked for") };
        let shelf = cluster.shelf().await;
        let mut start = start_with_audio("pcm_s16le", 1);
        start.config.retention = start_kept_for(30).config.retention;
        finish(second, &start, LATER, "all of it", SystemTime::now()).await;
        assert!(shelf.delete(TENANT, &start.session_id).await.unwrap());
        for (worker, incarnation) in [(first, Incarnation::FIRST), (second, LATER), (third, LAST)] {
            finish(worker, &start, incarnation, "a part of it", SystemTime::now()).await;
            assert!(is_gone(&shelf, &start).await, "{incarnation} came back");
        }
        assert_eq!(cluster.objects(), [""; 0], "nothing of it stays");
        // Not even when all that was to be swept early or late is.
        shelf.sweep(SystemTime::now() + 30 * DAY + HOUR).await.unwrap();
        finish(first, &start, Incarnation::FIRST, "a part of it", SystemTime::now()).await;
        assert!(is_gone(&shelf, &start).await);
        assert_eq!(cluster.spooled(), [""; 0]);
        cluster.close().await;
    }
}

/// The spool of a machine that was away when its session was deleted.
#[tokio::test]
async fn what_was_deleted_does_not_come_back_from_the_spool_of_another_machine() {
    for cluster in Cluster::every_kind(1).await {
        let (worker, shelf, start) = (&cluster.workers[0], cluster.shelf().await, start_kept_for(30));
        finish(worker, &start, Incarnation::FIRST, "half", SystemTime::now()).await;
        let away = tempfile::tempdir().unwrap();
        fs::create_dir(away.path().join("spool")).unwrap();
        for part in ["session.json", "transcript.json"] {
            let all = files(cluster.folder.path(), "");
            let kept = all.iter().find(|name| name.ends_with(&format!("{}/{part}", start.session_id))).unwrap();
            let spooled = format!("spool/{}.{}", start.session_id, part.strip_prefix("session.").unwrap_or(part));
            fs::copy(cluster.folder.path().join(kept), away.path().join(spooled)).unwrap();
        }
        finish(worker, &start, LATER, "all of it", SystemTime::now()).await;
        assert!(shelf.delete(TENANT, &start.session_id).await.unwrap());
        let back = Archive::with_shelf(away.path(), &cluster.location, Limits::default()).await.unwrap();
        assert!(is_gone(&shelf, &start).await);
        assert_eq!((files(away.path(), "spool"), back.postponed()), (vec![], 0));
        assert_eq!(cluster.objects(), [""; 0]);
        back.close().await.unwrap();
        cluster.close().await;
    }
}

#[tokio::test]
async fn a_deletion_stands_though_a_record_is_brought_at_the_same_time() {
    for cluster in Cluster::every_kind(2).await {
        let [first, second] = &cluster.workers[..] else { panic!("two were asked for") };
        let shelf = cluster.shelf().await;
        for _ in 0..8 {
            let start = start_kept_for(30);
            finish(first, &start, Incarnation::FIRST, "half", SystemTime::now()).await;
            let whole = finish(second, &start, LATER, "all of it", SystemTime::now());
            let (deleted, ()) = tokio::join!(shelf.delete(TENANT, &start.session_id), whole);
            assert!(deleted.unwrap());
            assert!(is_gone(&shelf, &start).await);
        }
        assert!(!cluster.objects().iter().any(|name| name.ends_with(".json")), "{:?}", cluster.objects());
        cluster.close().await;
    }
}

/// A worker that stands still in the middle of it, and then does not.
#[tokio::test]
async fn a_record_that_another_process_is_replacing_waits_in_the_spool() {
    let limits = Limits { again: Duration::from_millis(100), ..Limits::default() };
    let (folder, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let worker = Archive::with_shelf(spool.path(), &Location::folder(folder.path()), limits).await.unwrap();
    let start = start();
    finish(&worker, &start, Incarnation::FIRST, "half", SystemTime::now()).await;
    let record = files(folder.path(), "").into_iter().find(|name| name.ends_with("session.json")).unwrap();
    let other = fs::File::open(folder.path().join(record).parent().unwrap()).unwrap();
    other.lock().unwrap();
    let later = part_of(&start, LATER);
    let end = said(&later, "all of it");
    let error = worker.record(later).unwrap().finish(end).await.unwrap_err();
    assert!(matches!(error, dalston_store::StoreError::Postponed(_)), "{error}");
    assert_eq!(kept(&worker, &start).await.transcript.text, "half");
    drop(other);
    while worker.postponed() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(kept(&worker, &start).await.transcript.text, "all of it");
    worker.close().await.unwrap();
}
