//! Live sessions whose workers die, stand still or go down: real processes, and every word arrives exactly once (RT2).

use std::{collections::BTreeMap, time::Duration};

use dalston_protocol::realtime::{ServerMessage, SessionConfig};
use dalston_tests::{
    Collector, Server,
    cluster::{Cluster, Plan},
    session::{self, Heard, PACE, PIECE, side_by_side, undisturbed},
    speech, trace,
};
use tokio::{task::JoinHandle, time::sleep};

const SESSIONS: usize = 8;

/// What a log may say when a worker is lost on purpose.
const LOSS: [&str; 3] = ["a worker was lost", "looks for another worker", "did not take a session"];

async fn cluster(plan: Plan) -> Cluster {
    LOSS.iter().fold(plan.realtime(2).for_jobs(0, 0), |plan, line| plan.expect(line)).start().await
}

/// Ends the sessions, which have moved once or not at all, and tells how many of them have.
async fn all_are_whole(sessions: Vec<JoinHandle<Heard>>, alone: &Heard) -> usize {
    let mut moved = 0;
    for one in sessions {
        let heard = one.await.expect("a client does not panic");
        let has_moved = usize::from(heard.warned_of("worker_moved"));
        heard.assert_says_what(alone, has_moved);
        let begun = heard.events.iter().filter(|event| matches!(event, ServerMessage::SessionBegin { .. })).count();
        assert_eq!(begun, 1);
        moved += has_moved;
    }
    moved
}

/// The seconds from each loss to the next worker, as the gateway has logged them.
fn times_to_resume(gateway: &Server) -> Vec<f64> {
    let mut times: Vec<f64> = gateway
        .log()
        .of_event("a session goes on at another worker")
        .iter()
        .filter_map(|line| line["took"].as_f64())
        .collect();
    times.sort_by(f64::total_cmp);
    println!("seconds from the loss of a worker to the next one: {times:?}");
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_takes_no_word_with_it() {
    let mut cluster = cluster(Plan::loopback()).await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    assert!(alone.finals().len() > 2);
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(6)).await;
    cluster.realtime[0].kill();
    let moved = all_are_whole(sessions, &alone).await;
    assert_eq!(moved, SESSIONS / 2, "they were split evenly");
    let times = times_to_resume(cluster.gateway());
    assert_eq!(times.len(), moved);
    assert!(times.iter().all(|took| *took < 5.0), "{times:?}");
    assert_eq!(cluster.gateway().metric("dalston_sessions_moved_total"), Some(moved as f64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stands_still_is_found_out_and_its_sessions_go_on() {
    let cluster = cluster(Plan::loopback()).await;
    let audio = speech::demo().repeat(2);
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(4)).await;
    cluster.realtime[0].signal("STOP");
    let moved = all_are_whole(sessions, &alone).await;
    cluster.realtime[0].signal("CONT");
    assert_eq!(moved, SESSIONS / 2);
    times_to_resume(cluster.gateway());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_goes_down_hands_its_sessions_over_and_ends() {
    let mut cluster = cluster(Plan::loopback()).await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(5)).await;
    // A rolling restart: the next one is there before the first one goes.
    let began = std::time::Instant::now();
    assert!(tokio::task::block_in_place(|| cluster.realtime[0].stop()).success());
    println!("the worker ended {:?} after SIGTERM", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(all_are_whole(sessions, &alone).await, SESSIONS / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_other_worker_the_client_is_told_in_time() {
    let plan = Plan::loopback().for_jobs(0, 0).env("DALSTON_MOVE_TIMEOUT", "2s").expect("no other worker took");
    let mut cluster = LOSS.iter().fold(plan, |plan, line| plan.expect(line)).expect("session ended").start().await;
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &speech::demo());
    sleep(Duration::from_secs(2)).await;
    cluster.realtime[0].kill();
    for one in sessions {
        let heard = one.await.expect("a client does not panic");
        assert_eq!(heard.code, 1011, "{}", heard.reason);
        assert!(heard.reason.contains("worker"), "{}", heard.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_moves_is_one_trace_through_both_workers() {
    let collector = Collector::start();
    let mut cluster = cluster(Plan::loopback().traced_to(&collector.endpoint)).await;
    let client = cluster.gateway().client(SessionConfig::default());
    let speaking = tokio::spawn(async move { session::stream(&client, speech::demo(), PIECE, PACE).await });
    sleep(Duration::from_secs(6)).await;
    let serving = cluster.realtime.iter().position(|worker| worker.log().contains("session_id"));
    let serves = |worker: &Server| worker.metric("dalston_audio_seconds_total") > Some(0.0);
    let serving = serving.or_else(|| cluster.realtime.iter().position(serves)).expect("one of them serves it");
    // Gone with what it has not exported, as a crash is.
    cluster.realtime[serving].kill();
    let heard = speaking.await.expect("a client does not panic");
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    for process in cluster.processes().filter(|process| process.try_request("GET", "/healthz", "").is_ok()) {
        process.stop();
    }
    let traces = trace::by_trace(collector.spans());
    let trace = traces.iter().find(|trace| !trace.named("session_router.allocate").is_empty()).expect("it is traced");
    let allocations = trace.named("session_router.allocate");
    assert_eq!(allocations.len(), 2, "{}", trace.tree());
    let workers: BTreeMap<String, usize> =
        allocations.iter().map(|span| (span.attributes()["dalston.worker_id"].clone(), 1)).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    assert_eq!(trace.named("realtime.session_start").len(), 2, "both have begun it\n{}", trace.tree());
    let root = trace.only("WebSocket /v1/audio/transcriptions/stream");
    assert_eq!(root.attributes()["dalston.session.moves"], "1");
    assert!(root.span.events.iter().any(|event| event.name == "session_moved"));
}
