//! Live sessions while Redis is away, for all of them or for one process alone: the audio goes on, and afterwards every slot is
//! accounted for (RT2, RT7, OP2).

use std::time::{Duration, Instant};

use dalston_protocol::realtime::{ServerMessage, SessionConfig};
use dalston_tests::{
    Cluster, Server,
    cluster::Plan,
    relay::Relay,
    session::{self, Heard, side_by_side, undisturbed},
    speech,
};
use tokio::{task::JoinHandle, time::sleep};

const SESSIONS: usize = 4;
/// Longer than a worker may be silent.
const AWAY: Duration = Duration::from_secs(10);
/// Heartbeats, renewals and pauses before Redis is tried again.
const HEALED: Duration = Duration::from_secs(30);

/// What logs say while it is away.
fn away(plan: Plan) -> Plan {
    let lines = ["registry of workers is unavailable", "cannot reach Redis", "Redis", "redis"];
    lines.iter().fold(plan, |plan, line| plan.expect(line))
}

/// All of them said what one says that nothing happens to, and none has moved.
async fn none_has_noticed(sessions: Vec<JoinHandle<Heard>>, alone: &Heard) {
    for one in sessions {
        let heard = one.await.expect("a client does not panic");
        assert_eq!((heard.code, heard.reason.as_str()), (1000, ""));
        assert_eq!(heard.texts(), alone.texts());
        let warned = heard.events.iter().find(|event| matches!(event, ServerMessage::Warning { .. }));
        assert_eq!(warned, None);
    }
}

fn slots_in_use(gateway: &Server) -> Vec<(String, u64)> {
    let workers = gateway.get("/v1/realtime/workers").json();
    let of = |worker: &serde_json::Value| Some((worker["health"].as_str()?.to_owned(), worker["used"].as_u64()?));
    workers["workers"].as_array().map(|workers| workers.iter().filter_map(of).collect()).unwrap_or_default()
}

async fn until_slots_are(gateway: &Server, expected: &[(&str, u64)]) {
    let deadline = Instant::now() + HEALED;
    loop {
        let mut now = slots_in_use(gateway);
        now.sort();
        if now.iter().map(|(health, used)| (health.as_str(), *used)).eq(expected.iter().copied()) {
            return;
        }
        assert!(Instant::now() < deadline, "{now:?}, not {expected:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_back_after_ten_seconds_is_not_noticed_by_live_audio() {
    let mut cluster = away(Plan::loopback().for_jobs(0, 0)).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(3)).await;
    cluster.redis.kill();
    sleep(AWAY).await;
    cluster.redis.restart();
    let all = SESSIONS as u64;
    until_slots_are(cluster.gateway(), &[("ready", all)]).await;
    none_has_noticed(sessions, &alone).await;
    until_slots_are(cluster.gateway(), &[("ready", 0)]).await;
}

/// The gateway of a cluster in which only this process talks to Redis over a wire that can be cut.
async fn behind_a_wire(cluster: &Cluster, role: &str) -> (Server, Relay) {
    let wire = Relay::to(&format!("127.0.0.1:{}", cluster.redis.port())).await;
    let process = cluster.process(role).env("REDIS_URL", format!("redis://{}", wire.address()));
    (tokio::task::spawn_blocking(move || process.start()).await.expect("it starts"), wire)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_alone_loses_redis_keeps_its_sessions_and_its_slots() {
    let mut cluster = away(Plan::loopback().realtime(0).for_jobs(0, 0)).start().await;
    let (worker, wire) = behind_a_wire(&cluster, "realtime").await;
    cluster.realtime.push(worker);
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let sessions = side_by_side(&cluster.gateway().client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(2)).await;
    wire.cut();
    let all = SESSIONS as u64;
    until_slots_are(cluster.gateway(), &[("lost", all)]).await;
    // Another one takes what is new.
    let process = cluster.process("realtime");
    cluster.realtime.push(tokio::task::spawn_blocking(move || process.start()).await.expect("it starts"));
    let (mut sink, mut events, _) = session::open(&cluster.gateway().client(SessionConfig::default())).await;
    until_slots_are(cluster.gateway(), &[("lost", all), ("ready", 1)]).await;
    wire.heal();
    until_slots_are(cluster.gateway(), &[("ready", 1), ("ready", all)]).await;
    none_has_noticed(sessions, &alone).await;
    sink.send(&dalston_protocol::realtime::ClientMessage::End).await.expect("the session is open");
    assert_eq!(session::rest(&mut events).await.code, 1000);
    until_slots_are(cluster.gateway(), &[("ready", 0), ("ready", 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_alone_loses_redis_for_longer_than_a_lease_keeps_its_sessions() {
    let mut cluster = away(Plan::loopback().for_jobs(0, 0)).expect("session ended").start().await;
    let (gateway, wire) = behind_a_wire(&cluster, "gateway").await;
    let audio = speech::demo().repeat(2);
    let alone = undisturbed(&gateway, &audio).await;
    let sessions = side_by_side(&gateway.client(SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(2)).await;
    // Connections stay and nothing passes: no answer is the slower kind of failure.
    wire.hold();
    // One lease later nobody says that these slots are taken.
    until_slots_are(cluster.gateway(), &[("ready", 0)]).await;
    let (_sink, mut refused) = gateway.client(SessionConfig::default()).connect().await.expect("it is there");
    assert_eq!(session::rest(&mut refused).await.code, 4503);
    wire.heal();
    until_slots_are(cluster.gateway(), &[("ready", SESSIONS as u64)]).await;
    none_has_noticed(sessions, &alone).await;
    until_slots_are(cluster.gateway(), &[("ready", 0)]).await;
    cluster.gateways.push(gateway);
}
