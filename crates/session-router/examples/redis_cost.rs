//! What the registry costs Redis, as Redis counts it: `cargo run --release -p dalston-session-router --example redis_cost`.
//!
//! Starts a redis-server of its own. Half of all slots stay taken. Times are those of the server's one thread, without its
//! sockets; bytes are those of the wire.

#![allow(clippy::unwrap_used, reason = "a measurement may panic")]

use std::time::Duration;

use dalston_protocol::LeaseId;
use dalston_redis::testing::RedisServer;
use dalston_session_router::{
    Lease, RedisRegistry, Registry, RegistryTimes, Reservation, ReserveRequest, Wanted,
    conformance::{engine, worker},
};
use dalston_telemetry::Tracers;

const SLOTS: usize = 50;
const ROUNDS: usize = 2_000;
/// As many as a keeper renews at once.
const RENEWED: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("per call        workers  µs of Redis  commands in it  bytes in  bytes out");
    for workers in [1, 10, 100, 1_000] {
        let redis = RedisServer::start();
        let times = RegistryTimes { worker_ttl: Duration::from_secs(3_600), ..RegistryTimes::default() };
        let registry = RedisRegistry::open(&redis.url(), "cost", times, Tracers::off()).unwrap();
        let mut ids = Vec::new();
        for _ in 0..workers {
            let worker = worker(SLOTS, vec![engine("echo", "echo-en", &["en"])]);
            ids.push(worker.worker_id.clone());
            registry.register(worker).await.unwrap();
        }
        let reserve = async || {
            let request = ReserveRequest {
                lease: LeaseId::generate(),
                wanted: Wanted { language: "en".into(), model: None },
                ttl: Duration::from_secs(3_600),
                exclude: Vec::new(),
            };
            let Reservation { worker_id, .. } = registry.reserve(&request).await.unwrap();
            Lease { id: request.lease, worker_id, ttl: request.ttl }
        };
        let mut held = Vec::new();
        for _ in 0..(workers * SLOTS / 2).min(10_000) {
            held.push(reserve().await);
        }
        held.truncate(RENEWED);

        let mut leases = Vec::new();
        let row = Row { name: "reserve", workers, redis: &redis };
        row.print(ROUNDS.min(workers * SLOTS / 4), async || leases.push(reserve().await)).await;
        let mut leases = leases.into_iter();
        let row = Row { name: "release", ..row };
        row.print(leases.len(), async || registry.release(&leases.next().unwrap().id).await.unwrap()).await;
        let mut turn = ids.iter().cycle();
        let row = Row { name: "heartbeat", ..row };
        row.print(ROUNDS, async || {
            let _ = registry.heartbeat(turn.next().unwrap()).await.unwrap();
        })
        .await;
        let row = Row { name: "renew, leases:", ..row };
        println!("{:15} {:8}", "  (in a call)", held.len());
        row.print(ROUNDS / 10, async || registry.renew(&held).await.unwrap()).await;
    }
}

struct Row<'a> {
    name: &'static str,
    workers: usize,
    redis: &'a RedisServer,
}

impl Row<'_> {
    async fn print(&self, rounds: usize, mut act: impl AsyncFnMut()) {
        self.redis.ask(&["CONFIG", "RESETSTAT"]);
        for _ in 0..rounds {
            act().await;
        }
        let info = self.redis.ask(&["INFO", "everything"]);
        let field = |line: &str, name: &str| -> f64 {
            line.split([',', ':'])
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
                .unwrap_or(0.0)
        };
        let total = |name: &str| -> f64 {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        };
        let scripts = info.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
        let outer = ["cmdstat_evalsha:", "cmdstat_info", "cmdstat_config"];
        let inner =
            info.lines().filter(|line| line.starts_with("cmdstat_") && !outer.iter().any(|o| line.starts_with(o)));
        let commands: f64 = inner.map(|line| field(line, "calls")).sum();
        let per = |count: f64| count / rounds as f64;
        println!(
            "{:15} {:8} {:12.1} {:15.1} {:9.0} {:10.0}",
            self.name,
            self.workers,
            per(field(scripts, "usec")),
            per(commands),
            per(total("total_net_input_bytes")),
            per(total("total_net_output_bytes")),
        );
    }
}
