//! What is kept, who sees it, and how it goes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, SystemTime};

use dalston_protocol::{SessionId, realtime::Retention};
use dalston_store::RecordingStart;
use support::{DAY, Fixture, TENANT, all, files, ids, said, start, start_kept_for, start_of, start_with_audio, wav};

#[tokio::test]
async fn a_kept_session_comes_back_as_it_was() {
    let fixture = Fixture::new().await;
    let start = start_kept_for(30);
    let (id, started_at) = (start.session_id.clone(), start.started_at);
    let summary = fixture.keep(start.clone(), "go forward").await;

    let fixture = fixture.reopened().await;
    let kept = fixture.archive.get(TENANT, &id).await.unwrap().unwrap();
    assert_eq!(kept.transcript.text, "go forward");
    assert_eq!(kept.transcript.segments.len(), 1);
    assert_eq!(kept.summary.config, start.config);
    assert_eq!(kept.summary.audio, None, "audio was not asked for");
    let milliseconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert_eq!(milliseconds(kept.summary.started_at), milliseconds(started_at));
    assert_eq!(
        kept.summary.expires_at.unwrap().duration_since(kept.summary.ended_at).unwrap(),
        30 * DAY,
        "it is kept for its own number of days"
    );
    assert_eq!(serde_json::to_value(&kept.summary).unwrap(), serde_json::to_value(&summary).unwrap());
}

#[tokio::test]
async fn the_api_shows_times_as_text_and_the_words_beside_the_summary() {
    let fixture = Fixture::new().await;
    let mut start = start();
    start.started_at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_645_557_742_123);
    let id = start.session_id.clone();
    fixture.keep(start, "hello").await;
    let shown = serde_json::to_value(fixture.archive.get(TENANT, &id).await.unwrap()).unwrap();
    assert_eq!(shown["session_id"], id.as_str());
    assert_eq!(shown["started_at"], "2022-02-22T19:22:22.123Z");
    assert_eq!(shown["close_code"], 1000);
    assert_eq!(shown["transcript"]["text"], "hello");
    assert_eq!(shown["transcript"]["segments"][0]["start"], 0.5);
    for absent in ["tenant", "expires_at", "audio"] {
        assert!(shown.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_to_be_kept_leaves_nothing() {
    let fixture = Fixture::new().await;
    let mut start = start_with_audio("pcm_s16le", 1);
    start.config.retention = Retention::None;
    assert!(fixture.archive.record(start).is_none());
    assert_eq!(files(fixture.root(), ""), ["lock"]);
}

#[tokio::test]
async fn an_open_session_is_not_found_until_it_is_finished() {
    let fixture = Fixture::new().await;
    let start = start();
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    let recording = fixture.record(start);
    assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap(), None);
    assert!(!fixture.archive.delete(TENANT, &id).await.unwrap());
    recording.finish(end).await.unwrap();
    assert!(fixture.archive.get(TENANT, &id).await.unwrap().is_some());
}

#[tokio::test]
async fn another_tenants_session_is_as_not_found() {
    let fixture = Fixture::new().await;
    let (mine, theirs) = ("key_1", "../key_1");
    let start = RecordingStart { tenant: theirs.into(), ..start_with_audio("mulaw", 1) };
    let (id, end) = (start.session_id.clone(), said(&start, "secret"));
    let recording = fixture.record(start);
    recording.audio(b"secret");
    recording.finish(end).await.unwrap();

    for stranger in [mine, "", "KEY_1", "sha256.0"] {
        assert_eq!(fixture.archive.get(stranger, &id).await.unwrap(), None, "{stranger}");
        assert!(fixture.archive.audio(stranger, &id).await.unwrap().is_none(), "{stranger}");
        assert!(!fixture.archive.delete(stranger, &id).await.unwrap(), "{stranger}");
        assert_eq!(all(&fixture.archive, stranger, 10).await, [], "{stranger}");
        // Nor does someone else's id tell where the page begins in a way that shows anything.
        assert_eq!(fixture.archive.list(stranger, 10, Some(&id)).await.unwrap().sessions, []);
    }
    assert!(fixture.archive.get(theirs, &id).await.unwrap().is_some());
    assert!(wav(&fixture.archive, theirs, &id).await.is_some());
}

#[tokio::test]
async fn pages_are_newest_first_and_miss_nothing() {
    let fixture = Fixture::new().await;
    let mut made = Vec::new();
    // Ids of several hours and days, one that tells no time, and another tenant's in between.
    for (i, time) in
        ["017f22e279b07", "017f22e279b17", "017f2300000007", "019a000000007", "018000000007"].iter().enumerate()
    {
        for n in 0..3 {
            let id: SessionId = format!("ses_{:0<12}7{i:x}{n:0>18}", &time[..12]).parse().unwrap();
            made.push(fixture.keep(RecordingStart { session_id: id, ..start() }, "x").await.session_id);
        }
        fixture.keep(start_of("other"), "y").await;
    }
    made.push(fixture.keep(RecordingStart { session_id: "ses_0".parse().unwrap(), ..start() }, "x").await.session_id);
    made.sort_by(|a, b| (b.as_str() != "ses_0", b).cmp(&(a.as_str() != "ses_0", a)));
    for limit in [1, 2, 7, 16, 100] {
        assert_eq!(ids(&all(&fixture.archive, TENANT, limit).await), made, "limit {limit}");
    }
    let page = fixture.archive.list(TENANT, 16, None).await.unwrap();
    assert_eq!(page.next_cursor, None, "a page that holds the last session is the last");
}

#[tokio::test]
async fn a_cursor_that_was_deleted_still_tells_where_to_go_on() {
    let fixture = Fixture::new().await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(fixture.keep(start(), "x").await.session_id);
    }
    let first = fixture.archive.list(TENANT, 2, None).await.unwrap();
    let cursor = first.next_cursor.unwrap();
    assert!(fixture.archive.delete(TENANT, &cursor).await.unwrap());
    let second = fixture.archive.list(TENANT, 2, Some(&cursor)).await.unwrap();
    assert_eq!(ids(&second.sessions), [made[1].clone(), made[0].clone()]);
}

#[tokio::test]
async fn deletion_leaves_a_tombstone_for_a_month_and_then_no_file_and_no_empty_folder() {
    let fixture = Fixture::new().await;
    for start in [start_with_audio("pcm_s16le", 1), start_kept_for(1)] {
        let (id, end) = (start.session_id.clone(), said(&start, "x"));
        let recording = fixture.record(start);
        recording.audio(&[1; 100]);
        recording.finish(end).await.unwrap();
        assert!(fixture.archive.delete(TENANT, &id).await.unwrap());
        assert!(!fixture.archive.delete(TENANT, &id).await.unwrap(), "once is enough");
        assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap(), None);
    }
    assert!(!fixture.root().join("sessions").exists());
    let left = files(fixture.root(), "");
    assert_eq!(left.len(), 5, "two tombstones, two notes to sweep them, and the lock: {left:?}");
    assert!(left.iter().all(|file| fixture.root().join(file).metadata().unwrap().len() == 0), "they say nothing");
    assert_eq!(fixture.archive.sweep(SystemTime::now() + 30 * DAY + DAY / 2).await.unwrap(), 0);
    assert_eq!(files(fixture.root(), ""), left, "any record that still waits is given up before");
    assert_eq!(fixture.archive.sweep(SystemTime::now() + 31 * DAY + DAY / 24).await.unwrap(), 0);
    assert_eq!(files(fixture.root(), ""), ["lock"]);
    assert!(["sessions", "deleted", "expires"].iter().all(|folder| !fixture.root().join(folder).exists()));
}

#[tokio::test]
async fn each_session_is_swept_when_its_own_days_are_over() {
    let fixture = Fixture::new().await;
    let mut kept = Vec::new();
    for days in [1, 1, 30, 3650] {
        kept.push(fixture.keep(start_kept_for(days), "x").await.session_id);
    }
    let forever = fixture.keep(start(), "x").await.session_id;
    let now = SystemTime::now();
    let sweep = async |days: u32, hours: u32| fixture.archive.sweep(now + days * DAY + hours * DAY / 24).await.unwrap();
    assert_eq!(sweep(0, 23).await, 0);
    assert_eq!(sweep(1, 2).await, 2);
    assert_eq!(sweep(1, 2).await, 0);
    assert_eq!(ids(&all(&fixture.archive, TENANT, 10).await), [&forever, &kept[3], &kept[2]].map(Clone::clone));
    assert_eq!(sweep(3650, 2).await, 2);
    assert_eq!(ids(&all(&fixture.archive, TENANT, 10).await), [forever]);
    assert_eq!(files(fixture.root(), "expires"), [""; 0]);
}

#[tokio::test]
async fn an_expired_session_is_not_found_even_before_the_sweep() {
    let fixture = Fixture::new().await;
    let start = RecordingStart { started_at: SystemTime::now() - 2 * DAY, ..start_kept_for(1) };
    let id = start.session_id.clone();
    let mut end = said(&start, "x");
    end.ended_at = SystemTime::now() - DAY;
    fixture.record(start).finish(end).await.unwrap();
    assert_eq!(fixture.archive.get(TENANT, &id).await.unwrap(), None);
    assert_eq!(all(&fixture.archive, TENANT, 10).await, []);
    assert!(!fixture.archive.delete(TENANT, &id).await.unwrap());
    assert_eq!(files(fixture.root(), "sessions").len(), 2);
    assert_eq!(fixture.archive.sweep(SystemTime::now() + DAY / 24).await.unwrap(), 1);
    assert_eq!(files(fixture.root(), "sessions"), [""; 0]);
}

#[tokio::test]
async fn a_closed_archive_takes_nothing_and_waits_for_what_it_took() {
    let fixture = Fixture::new().await;
    let start = start();
    let (id, end) = (start.session_id.clone(), said(&start, "x"));
    let recording = fixture.record(start);
    let (closed, kept) = tokio::join!(fixture.archive.close(), recording.finish(end));
    closed.unwrap();
    kept.unwrap();
    assert!(fixture.archive.record(support::start()).is_none());
    let fixture = fixture.reopened().await;
    assert!(fixture.archive.get(TENANT, &id).await.unwrap().is_some());
}
