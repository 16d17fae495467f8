//! A run from its start to its judgement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_protocol::realtime::SessionConfig;
use dalston_redis::testing::RedisServer;
use dalston_store::testing::{Postgres, S3Server};
use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    task::{JoinSet, block_in_place, spawn_blocking},
    time::{sleep, sleep_until},
};

use super::{
    Fault, History, Planned, Report, Schedule, ToShared, What, World, check,
    clients::{Clients, voices},
    town::{Doors, Town},
    work::{Mood, Switch, Work, recordings},
};
use crate::{
    Cluster, Collector,
    cluster::Plan,
    http,
    jobs::{Form, PATH},
    relay::Relay,
    session,
};

/// Live sessions side by side.
const SPEAKERS: usize = 10;
/// After the last fault all is well within this.
const HEALED: Duration = Duration::from_secs(30);
/// A client that is gone is noticed after two of these.
const PINGS: &str = "2s";

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Of the schedule.
    pub seed: u64,
    /// How long there are faults.
    pub length: Duration,
}

/// Runs it, and judges it.
///
/// # Panics
/// When the cluster does not start, or does not end: then there is nothing to judge.
pub async fn run(options: Options) -> Report {
    let schedule = Schedule::new(options.seed, options.length);
    let (history, doors) = (History::default(), Doors::default());
    let collector = Collector::start();
    let to_collector = Relay::to(collector.endpoint.trim_start_matches("http://")).await;
    let Cluster { redis, postgres, files, blueprint, folder: _folder, .. } = plan(&to_collector).start().await;
    let at_redis = format!("127.0.0.1:{}", redis.port());
    let mut town = Town::start(blueprint, &at_redis, history.clone(), doors.clone()).await;

    // One more than there are speakers: that of clients that behave badly.
    let voices: Arc<[Arc<[u8]>]> = voices(SPEAKERS + 1).into();
    let work = Work { history: history.clone(), doors: doors.clone(), recordings: recordings().into() };
    let world = undisturbed(&doors, &voices, &work).await;
    let (_receiver, switch) = block_in_place(|| work.receive());

    let (began, clients) = (Instant::now(), Clients { history: history.clone(), doors: doors.clone(), voices });
    let stop = began + options.length;
    let mut speakers = JoinSet::new();
    for number in 0..SPEAKERS {
        speakers.spawn(clients.clone().speak(number, stop));
    }
    let posting = work.clone();
    let posting = spawn_blocking(move || posting.post(stop));
    let mut shared = Shared { redis, postgres, files, switch, to_collector };
    let mut wires = Vec::new();
    let lane = |planned| Lane { planned, began, history: history.clone() };
    tokio::join!(
        lane(schedule.processes.clone()).each(async |fault, lasts| {
            if let Fault::Process(what, role, number) = fault {
                town.suffer(what, role, number, lasts).await;
            }
        }),
        lane(schedule.shared.clone()).each(async |fault, lasts| {
            if let Fault::Shared(what) = fault {
                shared.suffer(what, lasts).await;
            }
        }),
        lane(schedule.clients.clone()).each(async |fault, lasts| {
            if let Fault::Client(how) = fault {
                clients.misbehave(how, lasts, &mut wires).await;
            }
        }),
    );
    let faults_ended = Instant::now();
    is_well(&doors, &history, faults_ended + HEALED).await;
    while let Some(spoke) = speakers.join_next().await {
        spoke.expect("a client does not panic");
    }
    posting.await.expect("a client does not panic");
    let finishing = work.clone();
    spawn_blocking(move || finishing.finish()).await.expect("a client does not panic");
    no_slot_is_used(&doors, &history).await;
    town.close().await;
    drop(shared);

    let entries = history.entries();
    let violations = check(&world, &entries);
    Report { options, schedule, world, entries, began: history.at(began), violations }
}

fn plan(to_collector: &Relay) -> Plan {
    let endpoint = format!("http://{}", to_collector.address());
    let plan = Plan::loopback().gateways(0).realtime(0).for_jobs(0, 0).traced_to(&endpoint);
    [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.05"),
        ("DALSTON_PING_INTERVAL", PINGS),
        ("DALSTON_EGRESS_ALLOW", "127.0.0.1"),
        ("DALSTON_WEBHOOK_RETRIES", "500ms,1s,1s,2s,2s,2s,4s,4s,4s,8s,8s"),
        ("DALSTON_WEBHOOK_TIMEOUT", "2s"),
    ]
    .iter()
    .fold(plan, |plan, (name, value)| plan.env(name, value))
}

/// What is heard while nothing fails.
async fn undisturbed(doors: &Doors, voices: &[Arc<[u8]>], work: &Work) -> World {
    let door = doors.near(0).expect("a gateway is there");
    let endpoint = format!("http://{}", door.address).parse().expect("an address is an endpoint");
    let client = dalston_client::StreamClient::new(endpoint).config(SessionConfig::default());
    let heard = voices.iter().map(|voice| session::stream(&client, voice.to_vec(), 3_200, Duration::ZERO));
    let heard = join_all(heard).await;
    let voices: Vec<Vec<String>> = heard
        .iter()
        .map(|heard| {
            assert_eq!(heard.code, 1000, "{}", heard.reason);
            heard.finals().iter().map(|said| said.text.clone()).collect()
        })
        .collect();
    let all: Vec<&String> = voices.iter().flatten().collect();
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert!(different.len() == all.len() && all.len() > voices.len(), "voices are told apart: {voices:?}");
    let recordings = work.recordings.iter().map(|form| block_in_place(|| text_of(&door.address, form)));
    World { recordings: recordings.collect(), voices }
}

/// What becomes of a recording, once the engines are known.
fn text_of(address: &str, form: &Form) -> String {
    let (deadline, (headers, body)) = (Instant::now() + HEALED, form.encoded());
    let mut answer = http::exchange(address, "POST", PATH, &headers, &body).expect("it answers");
    while answer.status != 201 {
        assert!(Instant::now() < deadline, "{}", answer.body);
        std::thread::sleep(Duration::from_millis(100));
        answer = http::exchange(address, "POST", PATH, &headers, &body).expect("it answers");
    }
    let path = format!("{PATH}/{}", answer.json()["id"].as_str().expect("a job has an id"));
    loop {
        let job = http::exchange(address, "GET", &path, "", &[]).expect("it answers").json();
        if let Some(text) = job["transcript"]["text"].as_str() {
            return text.to_owned();
        }
        assert!(Instant::now() < deadline, "{job}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

struct Lane {
    planned: Vec<Planned>,
    began: Instant,
    history: History,
}

impl Lane {
    /// One after the other, each at its time, or as soon as the last one is undone.
    async fn each(self, mut suffer: impl AsyncFnMut(Fault, Duration)) {
        for Planned { at, lasts, fault } in self.planned {
            sleep_until((self.began + at).into()).await;
            self.history.push(What::Fault { fault, lasts });
            suffer(fault, lasts).await;
        }
    }
}

/// What all processes share.
struct Shared {
    redis: RedisServer,
    postgres: Postgres,
    files: S3Server,
    switch: Switch,
    to_collector: Relay,
}

impl Shared {
    async fn suffer(&mut self, what: ToShared, lasts: Duration) {
        match what {
            ToShared::RedisFrozen => {
                self.redis.stop();
                sleep(lasts).await;
                self.redis.cont();
            }
            ToShared::RedisKilled => {
                block_in_place(|| self.redis.kill());
                sleep(lasts).await;
                block_in_place(|| self.redis.restart());
            }
            ToShared::RedisEmptied => {
                // What its file holds then is nothing.
                self.redis.ask(&["FLUSHALL"]);
                block_in_place(|| self.redis.kill());
                sleep(lasts).await;
                block_in_place(|| self.redis.restart());
            }
            ToShared::PostgresKilled => {
                block_in_place(|| self.postgres.kill());
                sleep(lasts).await;
                block_in_place(|| self.postgres.start());
            }
            ToShared::StorageFrozen => {
                let _frozen = block_in_place(|| self.files.freeze());
                sleep(lasts).await;
            }
            ToShared::WebhookFails | ToShared::WebhookHangs => {
                self.switch.set(if what == ToShared::WebhookFails { Mood::Fails } else { Mood::Hangs });
                sleep(lasts).await;
                self.switch.set(Mood::Well);
            }
            ToShared::CollectorGone => {
                self.to_collector.cut();
                sleep(lasts).await;
                self.to_collector.heal();
            }
        }
    }
}

/// What a gateway answers to `GET path`.
async fn get(address: &str, path: &'static str) -> Option<http::Answer> {
    let address = address.to_owned();
    spawn_blocking(move || http::exchange(&address, "GET", path, "", &[]).ok()).await.ok().flatten()
}

/// All gateways are ready, and see all workers.
async fn is_well(doors: &Doors, history: &History, deadline: Instant) {
    loop {
        let mut unwell = Vec::new();
        for door in doors.all() {
            let ready = get(&door.address, "/readyz").await.map_or(0, |answer| answer.status);
            let workers = get(&door.address, "/v1/realtime/workers").await.map(|answer| workers_in(&answer));
            let is_ready = |worker: &&(String, String, u64)| worker.1 == "ready";
            let there = workers.iter().flatten().filter(is_ready).count();
            if ready != 200 || there < super::Role::Realtime.count() {
                unwell.push(format!("{door:?} answers {ready} and sees {workers:?}"));
            }
        }
        if unwell.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            return history.push(What::Overdue { what: format!("after {HEALED:?}: {unwell:?}") });
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Id, health and slots in use of each worker.
fn workers_in(answer: &http::Answer) -> Vec<(String, String, u64)> {
    let of = |worker: &Value| {
        let text = |name: &str| worker[name].as_str().unwrap_or_default().to_owned();
        (text("worker_id"), text("health"), worker["used"].as_u64().unwrap_or(u64::MAX))
    };
    let list = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
    list["workers"].as_array().map(|workers| workers.iter().map(of).collect()).unwrap_or_default()
}

/// Within one lease and a silence of a client; whatever stands then is written down.
async fn no_slot_is_used(doors: &Doors, history: &History) {
    let deadline = Instant::now() + HEALED;
    let door = doors.near(0).expect("a gateway is there");
    loop {
        let workers = get(&door.address, "/v1/realtime/workers").await.map(|answer| workers_in(&answer));
        let workers = workers.unwrap_or_default();
        if (!workers.is_empty() && workers.iter().all(|(_, _, used)| *used == 0)) || Instant::now() > deadline {
            for (id, health, used) in workers {
                history.push(What::Slots { worker: format!("{id}, {health}: {used}"), used });
            }
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
