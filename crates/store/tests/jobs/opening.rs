//! Opening a database.

use dalston_store::JobStore;
use futures_util::future::join_all;

use crate::fixture::Fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_begin_at_once_make_the_tables_once_in_sqlite() {
    open_at_once(Fresh::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_begin_at_once_make_the_tables_once_in_postgresql() {
    open_at_once(Fresh::postgres().await).await;
}

async fn open_at_once(fresh: Fresh) {
    let opened = (0..6).map(|_| {
        let url = fresh.url.clone();
        tokio::spawn(async move { JobStore::open(&url).await.map(drop) })
    });
    for opened in join_all(opened).await {
        opened.unwrap().unwrap();
    }
    fresh.open().await.job().await;
}
