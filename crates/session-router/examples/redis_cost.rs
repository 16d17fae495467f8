//! What the registry costs Redis, as Redis counts it: `cargo run --release -p dalston-session-router --example redis_cost`.
//!
//! Starts a redis-server of its own. Half of all slots stay taken. Times are those of the server's one thread, without its
//! sockets; bytes are those of the wire. Then many sessions at once reserve and release, over one connection as in a gateway:
//! the last table has how many a second that were.

#![allow(clippy::unwrap_used, reason = "a measurement may panic")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_protocol::LeaseId;
use dalston_redis::testing::RedisServer;
use dalston_session_router::{
    Lease, RedisRegistry, Registry, RegistryTimes, Reservation, ReserveRequest, Wanted,
    conformance::{engine, worker},
};
use dalston_telemetry::Tracers;
use tokio::task::JoinSet;

const SLOTS: usize = 50;
const ROUNDS: usize = 2_000;
/// Sessions that want a slot at the same moment.
const AT_ONCE: usize = 64;
/// As many as a keeper renews at once.
const RENEWED: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("per call        workers  µs of Redis  commands in it  bytes in  bytes out");
    for workers in [1, 10, 100, 1_000] {
        let redis = RedisServer::start();
        let times = RegistryTimes { worker_ttl: Duration::from_secs(3_600), ..RegistryTimes::default() };
        let registry = Arc::new(RedisRegistry::open(&redis.url(), "cost", times, Tracers::off()).unwrap());
        let mut ids = Vec::new();
        for _ in 0..workers {
            let worker = worker(SLOTS, vec![engine("echo", "echo-en", &["en"])]);
            ids.push(worker.worker_id.clone());
            registry.register(worker).await.unwrap();
        }
        let reserve = async || reserve(&registry).await;
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
        let (alone, with_release) = many_at_once(&registry, (workers * SLOTS / 4).min(ROUNDS)).await;
        println!("{:15} {workers:8} {alone:12.0} a second, {with_release:.0} with the release", "reserve");
    }
}

async fn reserve(registry: &RedisRegistry) -> Lease {
    let request = ReserveRequest {
        lease: LeaseId::generate(),
        wanted: Wanted { language: "en".into(), model: None },
        ttl: Duration::from_secs(3_600),
        exclude: Vec::new(),
    };
    let Reservation { worker_id, .. } = registry.reserve(&request).await.unwrap();
    Lease { id: request.lease, worker_id, ttl: request.ttl }
}

/// Reservations a second, and those that are released again: the median of some rounds, each of `count`.
async fn many_at_once(registry: &Arc<RedisRegistry>, count: usize) -> (f64, f64) {
    let mut rates: Vec<(f64, f64)> = Vec::new();
    for _ in 0..9 {
        let (begun, mut leases) = (Instant::now(), Vec::new());
        let mut reserving: JoinSet<Vec<Lease>> = (0..AT_ONCE)
            .map(|task| {
                let registry = registry.clone();
                async move {
                    let mut leases = Vec::new();
                    for _ in (task..count).step_by(AT_ONCE) {
                        leases.push(reserve(&registry).await);
                    }
                    leases
                }
            })
            .collect();
        while let Some(more) = reserving.join_next().await {
            leases.push(more.unwrap());
        }
        let reserved = begun.elapsed();
        let releasing: JoinSet<()> = leases
            .into_iter()
            .map(|leases| {
                let registry = registry.clone();
                async move {
                    for lease in leases {
                        registry.release(&lease.id).await.unwrap();
                    }
                }
            })
            .collect();
        releasing.join_all().await;
        let a_second = |time: Duration| count as f64 / time.as_secs_f64();
        rates.push((a_second(reserved), a_second(begun.elapsed())));
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    rates[rates.len() / 2]
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
