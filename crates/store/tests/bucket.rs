//! Buckets: servers that hang, die, refuse, and processes that die while they upload.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use dalston_store::{Artifacts, Location, StoreError, artifacts::PART, testing::S3Server};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

const MIB: usize = 1024 * 1024;

fn server() -> (S3Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (S3Server::start(folder.path()).unwrap(), folder)
}

/// What the server holds of uploads that are not finished.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".upload")).collect()
}

fn notes(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("dalston/incoming")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A mebibyte that tells its number.
fn piece(number: usize) -> Bytes {
    vec![number as u8; MIB].into()
}

async fn assert_whole(artifacts: &Artifacts, key: &str, pieces: usize) {
    let content = artifacts.get(key, u64::MAX).await.unwrap();
    assert_eq!(content.len(), pieces * MIB);
    assert!(content.chunks(MIB).enumerate().all(|(number, chunk)| chunk.iter().all(|byte| *byte == number as u8)));
}

#[tokio::test]
async fn a_server_that_stands_still_for_three_seconds_costs_nothing_but_time() {
    let (server, folder) = server();
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    let mut upload = artifacts.writer("jobs/a", u64::MAX).await.unwrap();
    for number in 0..6 {
        upload.write(piece(number)).await.unwrap();
    }
    let frozen = server.freeze();
    let thaw = async {
        sleep(Duration::from_secs(3)).await;
        drop(frozen);
    };
    let rest = async {
        for number in 6..16 {
            upload.write(piece(number)).await.unwrap();
        }
        upload.finish().await.unwrap()
    };
    let ((), stored) = timeout(Duration::from_secs(30), async { tokio::join!(thaw, rest) }).await.unwrap();
    assert_eq!(stored.bytes, 16 * MIB as u64);
    assert_whole(&artifacts, "jobs/a", 16).await;
    assert_eq!((parts(folder.path()), notes(folder.path())), (vec![], vec![]));
}

#[tokio::test]
async fn a_server_that_is_gone_for_three_seconds_is_waited_for() {
    let (server, folder) = server();
    let address = server.address();
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    let mut upload = artifacts.writer("jobs/a", u64::MAX).await.unwrap();
    for number in 0..6 {
        upload.write(piece(number)).await.unwrap();
    }
    drop(server);
    let again = async {
        sleep(Duration::from_secs(3)).await;
        S3Server::start_at(folder.path(), address).unwrap()
    };
    let rest = async {
        for number in 6..16 {
            upload.write(piece(number)).await?;
        }
        upload.finish().await
    };
    let (_server, stored) = timeout(Duration::from_secs(60), async { tokio::join!(again, rest) }).await.unwrap();
    match stored {
        Ok(_) => assert_whole(&artifacts, "jobs/a", 16).await,
        // The connection broke in the middle of a part.
        Err(error) => {
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
            assert!(matches!(artifacts.get("jobs/a", u64::MAX).await, Err(StoreError::NoArtifact { .. })));
        }
    }
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_within_a_minute() {
    let (server, _folder) = server();
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    drop(server);
    let begun = Instant::now();
    let error = artifacts.put("jobs/a", "x").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_to_mend_and_shows_no_secret() {
    let (server, _folder) = server();
    let location: Location = server.url("").parse().unwrap();
    for (wrong, named) in
        [("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"), ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY")]
    {
        let variables = server
            .variables()
            .map(|(name, value)| (name, if name == wrong { "not-to-be-shown".to_owned() } else { value }));
        let error = Artifacts::at(&location.clone().with_variables(variables)).await.unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(named) && shown.contains("s3://dalston"), "{shown}");
        assert!(!shown.contains("not-to-be-shown") && !shown.contains("dalston-secret"), "{shown}");
    }
    let elsewhere: Location = "s3://no-such-bucket/a".parse().unwrap();
    let error = Artifacts::at(&elsewhere.with_variables(server.variables())).await.unwrap_err();
    assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
    let shown = error.to_string();
    assert!(shown.contains("s3://no-such-bucket/a") && shown.contains("DALSTON_ARTIFACTS_URL"), "{shown}");
}

#[tokio::test]
async fn odd_variables_are_named_and_not_shown() {
    let (server, _folder) = server();
    let location: Location = server.url("").parse().unwrap();
    for (variable, value) in [
        ("AWS_ENDPOINT_URL", "http://user:hidden@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", "hidden"),
        ("AWS_SECRET_ACCESS_KEY", ""),
    ] {
        let others = server.variables().into_iter().filter(|(name, _)| *name != variable);
        let variables = others.chain([(variable, value.to_owned())]);
        let error = Artifacts::at(&location.clone().with_variables(variables)).await.unwrap_err();
        assert!(matches!(error, StoreError::InvalidLocation { .. }), "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("AWS_") && !shown.contains("hidden"), "{variable}: {shown}");
    }
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing_on_the_server() {
    let (server, folder) = server();
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    let mut upload = artifacts.writer("jobs/a", u64::MAX).await.unwrap();
    for number in 0..12 {
        upload.write(piece(number)).await.unwrap();
    }
    assert!(!parts(folder.path()).is_empty() && notes(folder.path()).len() == 1);
    drop(upload);
    let gone = async {
        while !parts(folder.path()).is_empty() || !notes(folder.path()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(artifacts.list("jobs").await.unwrap(), []);
}

#[tokio::test]
async fn many_artifacts_are_listed_and_removed_page_by_page() {
    let (server, _folder) = server();
    let artifacts = Artifacts::at(&server.location("p")).await.unwrap();
    // More than the thousand of a page.
    let put = |number: usize| {
        let artifacts = &artifacts;
        async move { artifacts.put(&format!("jobs/{number:04}/source"), "x").await.unwrap() }
    };
    for numbers in (0..1100).collect::<Vec<_>>().chunks(50) {
        futures_util::future::join_all(numbers.iter().map(|number| put(*number))).await;
    }
    let names = artifacts.names("jobs").await.unwrap();
    assert_eq!((names.len(), names[0].as_str(), names[1099].as_str()), (1100, "0000", "1099"));
    assert_eq!(artifacts.list("jobs").await.unwrap().len(), 1100);
    assert_eq!(artifacts.remove("jobs").await.unwrap(), 1100);
    assert_eq!(artifacts.names("jobs").await.unwrap(), Vec::<String>::new());
}

const CHILD: &str = "DALSTON_STORE_TEST_CHILD";

/// This test again in a process of its own, which finds the server as any program does.
fn child(test: &str, server: &S3Server) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, server.url("")).envs(server.variables());
    command.stdout(Stdio::piped());
    command
}

async fn artifacts_of_child(url: &str) -> Artifacts {
    Artifacts::at(&url.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_uploads_shows_nothing_and_is_cleared_up_after() {
    if let Ok(url) = env::var(CHILD) {
        let mut upload = artifacts_of_child(&url).await.writer("jobs/a", u64::MAX).await.unwrap();
        for number in 0.. {
            upload.write(piece(number)).await.unwrap();
            println!("\nwrote {number}");
        }
    }
    let (server, folder) = server();
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    let name = "a_process_that_is_killed_while_it_uploads_shows_nothing_and_is_cleared_up_after";
    let mut uploading = child(name, &server).spawn().unwrap();
    let mut said = BufReader::new(uploading.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line == "wrote 23"), "the child ended by itself");
    uploading.kill().unwrap();
    uploading.wait().unwrap();

    assert_eq!(artifacts.list("jobs").await.unwrap(), []);
    assert!(matches!(artifacts.get("jobs/a", u64::MAX).await, Err(StoreError::NoArtifact { .. })));
    assert!(!parts(folder.path()).is_empty());
    assert_eq!(artifacts.clear_left_behind().await.unwrap(), 0, "others may still be uploading");
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 3600);
    for note in notes(folder.path()) {
        fs::File::open(note).unwrap().set_modified(yesterday).unwrap();
    }
    assert_eq!(artifacts.clear_left_behind().await.unwrap(), 1);
    assert_eq!((parts(folder.path()), notes(folder.path())), (vec![], vec![]));
}

/// The most memory that this process has held, in bytes.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_large_upload_holds_a_few_parts_in_memory() {
    const SIZE: usize = 200;
    if let Ok(url) = env::var(CHILD) {
        let artifacts = artifacts_of_child(&url).await;
        artifacts.put("jobs/warm", vec![0; 2 * PART]).await.unwrap();
        let before = peak_memory();
        let mut upload = artifacts.writer("jobs/a", u64::MAX).await.unwrap();
        for number in 0..SIZE {
            upload.write(piece(number)).await.unwrap();
        }
        upload.finish().await.unwrap();
        println!("\ngrew by {}", peak_memory() - before);
        return;
    }
    let (server, _folder) = server();
    let begun = Instant::now();
    let run = child("a_large_upload_holds_a_few_parts_in_memory", &server).output().unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    let grown: usize = said.lines().find_map(|line| line.strip_prefix("grew by ")).unwrap().parse().unwrap();
    println!("{SIZE} MiB in {:?} grew the memory by {} KiB", begun.elapsed(), grown / 1024);
    assert!(grown < 6 * PART, "{grown} bytes more for {SIZE} MiB");
    let artifacts = Artifacts::at(&server.location("")).await.unwrap();
    assert_whole(&artifacts, "jobs/a", SIZE).await;
}
