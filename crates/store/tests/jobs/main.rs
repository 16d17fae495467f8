//! What the job store promises, claimed of SQLite and of a PostgreSQL server that is started here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod creating;
mod ending;
mod engines;
mod fixture;
mod interleaving;
mod keys;
mod killing;
mod listing;
mod opening;
mod planning;
mod running;
mod webhooks;

/// Has each claim checked against both databases.
macro_rules! of_both_databases {
    ($($claim:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(crate::fixture::Fixture::sqlite().await).await;
            })+
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(crate::fixture::Fixture::postgres().await).await;
            })+
        }
    };
}

use of_both_databases;
