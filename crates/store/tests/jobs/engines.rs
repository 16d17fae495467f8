//! Engines that are announced.

use std::time::{Duration, SystemTime};

use dalston_store::AnnouncedEngine;

use crate::{fixture::Fixture, of_both_databases};

of_both_databases!(
    engines_are_found_in_the_order_of_their_runner,
    an_engine_of_two_runners_is_what_was_told_last,
    an_engine_that_was_not_heard_of_for_long_is_forgotten,
);

fn engine(engine_id: &str, info: &str) -> AnnouncedEngine {
    AnnouncedEngine { engine_id: engine_id.into(), info: info.into() }
}

fn ago(time: Duration) -> SystemTime {
    SystemTime::now() - time
}

const HOUR: Duration = Duration::from_secs(3600);

async fn engines_are_found_in_the_order_of_their_runner(fixture: Fixture) {
    let engines = [engine("zebra", "{}"), engine("ant", "{}")];
    fixture.store.announce("runner-1", &engines, ago(HOUR)).await.unwrap();
    assert_eq!(fixture.store.announced(ago(HOUR)).await.unwrap(), engines);
}

async fn an_engine_of_two_runners_is_what_was_told_last(fixture: Fixture) {
    fixture.store.announce("runner-1", &[engine("ant", "old")], ago(HOUR)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    fixture.store.announce("runner-2", &[engine("ant", "new")], ago(HOUR)).await.unwrap();
    assert_eq!(fixture.store.announced(ago(HOUR)).await.unwrap(), [engine("ant", "new")]);
    tokio::time::sleep(Duration::from_millis(5)).await;
    fixture.store.announce("runner-1", &[engine("ant", "newest")], ago(HOUR)).await.unwrap();
    assert_eq!(fixture.store.announced(ago(HOUR)).await.unwrap(), [engine("ant", "newest")]);
}

async fn an_engine_that_was_not_heard_of_for_long_is_forgotten(fixture: Fixture) {
    fixture.store.announce("runner-1", &[engine("ant", "{}")], ago(HOUR)).await.unwrap();
    let later = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(fixture.store.announced(later).await.unwrap(), []);
    // Whoever speaks next clears up.
    fixture.store.announce("runner-2", &[engine("bee", "{}")], later).await.unwrap();
    assert_eq!(fixture.store.announced(ago(HOUR)).await.unwrap(), [engine("bee", "{}")]);
}
