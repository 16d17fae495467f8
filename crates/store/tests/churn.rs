//! Sessions that come while others of the same minute go.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use futures_util::{StreamExt, stream};
use support::{Fixture, TENANT, all, files, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_folder_that_is_just_removed_takes_a_new_session_all_the_same() {
    let fixture = Fixture::new().await;
    let come_and_go = |n: usize| {
        let fixture = &fixture;
        async move {
            let id = fixture.keep(start(), "x").await.session_id;
            if n.is_multiple_of(10) {
                fixture.archive.list(TENANT, 10, None).await.unwrap();
            }
            assert!(fixture.archive.delete(TENANT, &id).await.unwrap());
        }
    };
    stream::iter(0..600).map(come_and_go).buffer_unordered(4).count().await;
    assert_eq!([files(fixture.root(), "sessions"), files(fixture.root(), "spool")], [[""; 0], [""; 0]]);
    fixture.keep(start(), "x").await;
    assert_eq!(all(&fixture.archive, TENANT, 1).await.len(), 1);
}
