//! Parts of transactions, and what becomes of each.

use std::{future::Future, pin::Pin};

use tempfile::TempDir;

use super::*;
use crate::jobs::query::statement;

/// A database of one table with one column.
async fn database() -> (TempDir, Sqlite) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (n BIGINT PRIMARY KEY)").unwrap();
    let database = Sqlite::open(&path).await.unwrap();
    (folder, database)
}

async fn insert(part: &mut Part, number: i64) -> Result<u64, StoreError> {
    statement("INSERT INTO t VALUES ($1)").bind(number).execute(part).await
}

async fn numbers(database: &Sqlite) -> Vec<i64> {
    let rows = statement("SELECT n FROM t ORDER BY n").fetch_all(database.reader()).await.unwrap();
    rows.iter().map(|row| row.get("n").unwrap()).collect()
}

/// Has somebody take his place in the line.
async fn lined_up<'f, T>(begin: impl Future<Output = T> + Send + 'f) -> Pin<Box<dyn Future<Output = T> + Send + 'f>> {
    let mut begin = Box::pin(begin);
    assert!(futures_util::poll!(&mut begin).is_pending());
    begin
}

/// Two parts of one transaction: both stood in line before it was opened. The second is still in line.
async fn two(database: &Sqlite) -> (Part, impl Future<Output = Result<Part, StoreError>>) {
    let held = database.writer.clone().lock_owned().await;
    let (first, second) = (lined_up(database.begin()).await, lined_up(database.begin()).await);
    drop(held);
    (first.await.unwrap(), second)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_or_fails_is_undone_alone() {
    let (_folder, database) = database().await;
    let (mut first, second) = two(&database).await;
    insert(&mut first, 1).await.unwrap();
    let told = lined_up(first.commit()).await;
    let mut second = second.await.unwrap();
    insert(&mut second, 2).await.unwrap();
    insert(&mut second, 1).await.unwrap_err();
    drop(second);
    told.await.unwrap();
    assert_eq!(numbers(&database).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_part_or_is_told_of_it_before_all_are_committed() {
    let (_folder, database) = database().await;
    let (mut first, second) = two(&database).await;
    insert(&mut first, 1).await.unwrap();
    let mut told = lined_up(first.commit()).await;
    let mut second = second.await.unwrap();
    insert(&mut second, 2).await.unwrap();
    assert_eq!(numbers(&database).await, [0; 0]);
    assert!(futures_util::poll!(&mut told).is_pending());
    second.commit().await.unwrap();
    told.await.unwrap();
    assert_eq!(numbers(&database).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_database_undoes_all_everybody_is_told() {
    let (_folder, database) = database().await;
    let (mut first, second) = two(&database).await;
    insert(&mut first, 1).await.unwrap();
    let told = lined_up(first.commit()).await;
    let mut second = second.await.unwrap();
    // As it does by itself when the disk is full.
    second.0.as_ref().unwrap().connection().unwrap().execute_batch("ROLLBACK").unwrap();
    let lost = insert(&mut second, 2).await.unwrap_err();
    assert!(matches!(lost, StoreError::Unavailable(_)), "{lost:?}: it would be committed alone");
    drop(second);
    told.await.unwrap_err();
    let mut next = database.begin().await.unwrap();
    insert(&mut next, 3).await.unwrap();
    next.commit().await.unwrap();
    assert_eq!(numbers(&database).await, [3]);
}

#[tokio::test]
async fn another_process_is_waited_for_without_keeping_the_thread() {
    let (folder, database) = database().await;
    let other = Connection::open(folder.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let part = lined_up(database.begin()).await;
    other.execute_batch("COMMIT").unwrap();
    part.await.unwrap().commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_finished_before_the_close_is_kept_and_what_comes_after_fails() {
    let (folder, database) = database().await;
    let (mut first, second) = two(&database).await;
    insert(&mut first, 1).await.unwrap();
    drop(second);
    let told = lined_up(first.commit()).await;
    database.close().await;
    told.await.unwrap();
    let after = database.begin().await.unwrap_err();
    assert!(matches!(after, StoreError::Unavailable(_)), "{after:?}");
    statement("SELECT n FROM t").fetch_all(database.reader()).await.unwrap_err();
    let again = Sqlite::open(&folder.path().join("test.db")).await.unwrap();
    assert_eq!(numbers(&again).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_bounded_and_goes_with_the_store() {
    let (folder, database) = database().await;
    let log = folder.path().join("test.db-wal");
    let pages = || std::fs::metadata(&log).map_or(0, |meta| meta.len() / 4_096);
    // Each is a commit of a page at least.
    for number in 0..log::LONG as i64 + 2_000 {
        let mut part = database.begin().await.unwrap();
        insert(&mut part, number).await.unwrap();
        part.commit().await.unwrap();
    }
    assert!((1..log::LONG + 200).contains(&pages()), "{}", pages());
    database.close().await;
    assert_eq!(pages(), 0, "it was folded into the file");
}
