//! Processes that die in the middle.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::SystemTime,
};

use dalston_protocol::{SessionId, realtime::Retention};
use dalston_store::{Archive, Limits, testing::S3Server};
use support::{DAY, Fixture, TENANT, all, files, ids, said, start, start_with_audio, wav};

const AUDIO: usize = 80_000;

/// What a session of the tests below said and sounded like: nothing that another could have.
fn audio_of(id: &SessionId) -> Vec<u8> {
    id.as_str().bytes().cycle().take(AUDIO).collect()
}

async fn keep(archive: &Archive, retention: Retention) -> SessionId {
    let mut start = start_with_audio("alaw", 1);
    start.config.retention = retention;
    let id = start.session_id.clone();
    let end = said(&start, id.as_str());
    let recording = archive.record(start).unwrap();
    for portion in audio_of(&id).chunks(1000) {
        recording.audio(portion);
    }
    recording.finish(end).await.unwrap().session_id
}

async fn assert_whole(archive: &Archive, id: &SessionId) {
    let kept = archive.get(TENANT, id).await.unwrap().unwrap_or_else(|| panic!("{id} is gone"));
    assert_eq!(kept.transcript.text, id.as_str());
    assert!(kept.summary.audio.unwrap().complete);
    assert_eq!(wav(archive, TENANT, id).await.unwrap()[58..], audio_of(id), "{id}");
}

/// A folder as a crash in the middle of moving a session to its place leaves it: `moved` of its files are there already.
#[tokio::test]
async fn a_committed_session_is_moved_the_rest_of_the_way() {
    for moved in 0..=3 {
        let fixture = Fixture::new().await;
        let id = keep(&fixture.archive, Retention::Days(30)).await;
        fixture.archive.close().await.unwrap();
        let spool = fixture.root().join("spool");
        let sessions = fixture.root().join("sessions");
        let name = files(fixture.root(), "sessions").remove(0);
        let place = sessions.join(name).parent().unwrap().to_owned();
        fs::rename(place.join("session.json"), spool.join(format!("{id}.json"))).unwrap();
        if moved < 3 {
            fs::rename(place.join("audio.wav"), spool.join(format!("{id}.wav"))).unwrap();
        }
        if moved < 2 {
            fs::rename(place.join("transcript.json"), spool.join(format!("{id}.transcript.json"))).unwrap();
            fs::remove_dir_all(sessions).unwrap();
        }
        if moved < 1 {
            fs::remove_dir_all(fixture.root().join("expires")).unwrap();
        }

        let fixture = fixture.reopened().await;
        assert_whole(&fixture.archive, &id).await;
        assert_eq!(files(fixture.root(), "spool"), [""; 0], "{moved}");
        assert_eq!(fixture.archive.sweep(SystemTime::now() + 31 * DAY).await.unwrap(), 1, "{moved}");
        assert_eq!(files(fixture.root(), ""), ["lock"], "{moved}");
    }
}

#[tokio::test]
async fn an_unfinished_session_is_removed_and_foreign_files_are_not() {
    let fixture = Fixture::new().await;
    fixture.archive.close().await.unwrap();
    let (spool, id) = (fixture.root().join("spool"), SessionId::generate());
    for name in [&format!("{id}.wav"), &format!("{id}.transcript.json"), &format!("{id}.json.part"), "README"] {
        fs::write(spool.join(name), b"x").unwrap();
    }
    let fixture = fixture.reopened().await;
    assert_eq!(files(fixture.root(), "spool"), ["README"]);
    assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap(), None);
}

#[tokio::test]
async fn a_committed_session_that_cannot_be_read_stays_and_keeps_nobody_out() {
    let fixture = Fixture::new().await;
    fixture.archive.close().await.unwrap();
    let id = SessionId::generate();
    for part in ["json", "transcript.json", "wav"] {
        fs::write(fixture.root().join("spool").join(format!("{id}.{part}")), b"x").unwrap();
    }
    let fixture = fixture.reopened().await;
    assert_eq!(files(fixture.root(), "spool").len(), 3);
    fixture.keep(start(), "x").await;
}

const CHILD: &str = "DALSTON_STORE_TEST_CHILD";
const SHELF: &str = "DALSTON_STORE_TEST_SHELF";

/// The archive of the child: with a shelf elsewhere, if it was told of one.
async fn archive_of_child(root: &Path) -> Archive {
    match env::var(SHELF) {
        Ok(url) => Archive::with_shelf(root, &url.parse().unwrap(), Limits::default()).await.unwrap(),
        Err(_) => Archive::open(root, Limits::default()).await.unwrap(),
    }
}

/// As long as a tombstone stands: it might be of a session that was deleted meanwhile.
#[tokio::test]
async fn a_committed_session_is_moved_within_a_month_or_not_at_all() {
    for (days, comes) in [(29, true), (31, false)] {
        let fixture = Fixture::new().await;
        let start = start();
        let (id, mut end) = (start.session_id.clone(), said(&start, "x"));
        end.ended_at = SystemTime::now() - days * DAY;
        fixture.record(start).finish(end).await.unwrap();
        fixture.archive.close().await.unwrap();
        for name in files(fixture.root(), "sessions") {
            let spooled = if name.ends_with("session.json") { ".json" } else { ".transcript.json" };
            let spooled = fixture.root().join("spool").join(format!("{id}{spooled}"));
            fs::rename(fixture.root().join("sessions").join(name), spooled).unwrap();
        }
        let fixture = fixture.reopened().await;
        assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap().is_some(), comes, "{days}");
        assert_eq!(files(fixture.root(), "spool"), [""; 0]);
    }
}

/// The child: keeps and deletes sessions for ever, and says each one that it was told is kept or deleted.
#[tokio::main]
async fn keep_until_killed(root: &Path) {
    let archive = archive_of_child(root).await;
    let mut workers = tokio::task::JoinSet::new();
    for retention in [Retention::Forever, Retention::Days(30), Retention::Forever, Retention::Days(1)] {
        let archive = archive.clone();
        workers.spawn(async move {
            let say = |what: &str, id: &SessionId| writeln!(std::io::stdout().lock(), "\n{what} {id}").unwrap();
            loop {
                let id = keep(&archive, retention).await;
                say("kept", &id);
                let doomed = keep(&archive, retention).await;
                say("doomed", &doomed);
                assert!(archive.delete(TENANT, &doomed).await.unwrap());
                say("deleted", &doomed);
            }
        });
    }
    workers.join_all().await;
}

/// Runs the child until it has said so many lines, kills it where it stands, and returns what it said.
fn killed_after(lines: usize, root: &Path, server: Option<&S3Server>) -> Vec<(String, SessionId)> {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "what_was_said_to_be_kept_survives_a_kill_at_any_moment", "--nocapture"]).env(CHILD, root);
    if let Some(server) = server {
        child.env(SHELF, server.url("")).envs(server.variables());
    }
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.split_once(' ').and_then(|(what, id)| Some((what.to_owned(), id.parse().ok()?))));
    let mut heard: Vec<_> = said.by_ref().take(lines).collect();
    child.kill().unwrap();
    assert_eq!(heard.len(), lines, "the child ended by itself: {:?}", child.wait());
    // What it said before it died holds, too.
    heard.extend(said);
    child.wait().unwrap();
    heard
}

#[test]
fn what_was_said_to_be_kept_survives_a_kill_at_any_moment() {
    if let Some(root) = env::var_os(CHILD) {
        return keep_until_killed(Path::new(&root));
    }
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut kept, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..16 {
        for (what, id) in killed_after(1 + round * 3 % 11, folder.path(), None) {
            match what.as_str() {
                "kept" => kept.insert(id),
                "deleted" => deleted.insert(id),
                _ => false,
            };
        }
        runtime.block_on(async {
            let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
            assert_eq!(files(folder.path(), "spool"), [""; 0], "round {round}");
            let listed = all(&archive, TENANT, 100).await;
            for id in ids(&listed) {
                assert!(!deleted.contains(&id), "{id} came back in round {round}");
                assert_whole(&archive, &id).await;
            }
            let listed: BTreeSet<_> = ids(&listed).into_iter().collect();
            assert!(kept.is_subset(&listed), "lost in round {round}: {:?}", kept.difference(&listed));
            archive.close().await.unwrap();
        });
    }
    runtime.block_on(async {
        let archive = Archive::open(folder.path(), Limits::default()).await.unwrap();
        // Finishes the deletions that were killed half way.
        archive.sweep(SystemTime::now() + DAY / 12).await.unwrap();
        assert_eq!(files(folder.path(), "sessions").len(), 3 * all(&archive, TENANT, 100).await.len(), "orphans");
        archive.sweep(SystemTime::now() + 32 * DAY).await.unwrap();
        assert_eq!(files(folder.path(), "expires"), [""; 0]);
        assert_eq!(files(folder.path(), "deleted"), [""; 0]);
        assert_eq!(files(folder.path(), "sessions").len(), 3 * all(&archive, TENANT, 100).await.len(), "orphans");
    });
}

#[test]
fn what_was_said_to_be_on_the_shelf_survives_a_kill_at_any_moment() {
    let (worker, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = S3Server::start(folder.path()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut kept, mut deleted) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..8 {
        for (what, id) in killed_after(1 + round * 3 % 11, worker.path(), Some(&server)) {
            match what.as_str() {
                "kept" => kept.insert(id),
                "deleted" => deleted.insert(id),
                _ => false,
            };
        }
        runtime.block_on(async {
            let archive = Archive::with_shelf(worker.path(), &server.location(""), Limits::default()).await.unwrap();
            assert_eq!((files(worker.path(), "spool"), archive.postponed()), (vec![], 0), "round {round}");
            let listed: BTreeSet<_> = ids(&all(&archive, TENANT, 100).await).into_iter().collect();
            for id in &listed {
                assert_whole(&archive, id).await;
            }
            assert!(listed.is_disjoint(&deleted), "came back in round {round}");
            assert!(kept.is_subset(&listed), "lost in round {round}: {:?}", kept.difference(&listed));
            archive.close().await.unwrap();
        });
    }
    runtime.block_on(async {
        let archive = Archive::with_shelf(worker.path(), &server.location(""), Limits::default()).await.unwrap();
        // Finishes the deletions that were killed half way.
        archive.sweep(SystemTime::now() + DAY / 12).await.unwrap();
        let listed = all(&archive, TENANT, 100).await.len();
        assert_eq!(files(folder.path(), "dalston/sessions").len(), 3 * listed, "orphans");
    });
}
