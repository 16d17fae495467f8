//! Ten thousand sessions: most of them over four weeks, two thousand in one minute.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashSet, env, fs::OpenOptions, io::Write, path::Path, time::Instant};

use dalston_protocol::SessionId;
use dalston_store::RecordingStart;
use futures_util::{StreamExt, stream};
use support::{Fixture, TENANT, all, files, ids, start, start_of};

const SPREAD: u64 = 8_000;
const BURST: u64 = 2_000;
const LAST_MINUTE: u64 = 1_800_000_000_000;

/// An id made at that time, in milliseconds since 1970.
fn made_at(milliseconds: u64) -> SessionId {
    format!("ses_{milliseconds:012x}7000800000000000{:04x}", milliseconds % 0xffff).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_cost_a_page_no_more_than_a_page() {
    // In memory where there is such a folder: some disks take minutes to remove forty thousand files afterwards.
    let memory = Path::new("/dev/shm");
    let fixture = Fixture::within(if memory.is_dir() { memory.into() } else { env::temp_dir() }).await;
    let five_minutes = 5 * 60 * 1000;
    let spread = (1..=SPREAD).map(|n| made_at(LAST_MINUTE - n * five_minutes));
    let mut made: Vec<_> = spread.chain((0..BURST).map(|n| made_at(LAST_MINUTE + n * 7))).collect();

    let began = Instant::now();
    let keep = |id: &SessionId| {
        let (fixture, start) = (&fixture, RecordingStart { session_id: id.clone(), ..start() });
        async move { fixture.keep(start, "x").await }
    };
    assert_eq!(stream::iter(&made).map(keep).buffer_unordered(64).count().await, 10_000);
    fixture.keep(start_of("other"), "x").await;
    eprintln!("keeping 10,000 sessions: {:?}", began.elapsed());
    made.sort_by(|a, b| b.cmp(a));

    let began = Instant::now();
    assert_eq!(ids(&all(&fixture.archive, TENANT, 100).await), made);
    eprintln!("reading all of them in pages of 100: {:?}", began.elapsed());

    // A page reads the records that it shows and a few ahead: no other can be in its way.
    let may_be_read: HashSet<&str> = made[4_000..4_110].iter().map(SessionId::as_str).collect();
    for name in files(fixture.root(), "sessions").iter().filter(|name| name.ends_with("session.json")) {
        if !name.split('/').any(|part| may_be_read.contains(part)) {
            let record = OpenOptions::new().append(true).open(fixture.root().join("sessions").join(name));
            record.unwrap().write_all(b"damaged").unwrap();
        }
    }
    let began = Instant::now();
    let page = fixture.archive.list(TENANT, 100, Some(&made[3_999])).await.unwrap();
    eprintln!("reading one page of them: {:?}", began.elapsed());
    assert_eq!(ids(&page.sessions), made[4_000..4_100]);
    assert_eq!(page.next_cursor, Some(made[4_099].clone()));

    let began = Instant::now();
    assert!(fixture.archive.get(TENANT, &made[4_050]).await.unwrap().is_some());
    eprintln!("reading one session: {:?}", began.elapsed());
}
