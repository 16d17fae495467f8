//! What one reservation costs in process: `cargo run --release -p dalston-session-router --example reserve_cost`.
//!
//! Half of all slots stay taken. Each round reserves one and releases it, through the trait as the router does it.

use std::time::{Duration, Instant};

use dalston_engine_sdk::{Capabilities, Languages};
use dalston_protocol::{LeaseId, WorkerId};
use dalston_session_router::{
    Address, InProcessRegistry, Lease, Registry, Reservation, ReserveRequest, Wanted, WorkerRecord,
};

const SLOTS: usize = 50;
const ROUNDS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("workers  kinds  wanted   µs/reserve  µs/release  µs/heartbeat  µs/lease renewed");
    for (workers, kinds, wanted) in [(1, 1, "en"), (64, 1, "en"), (64, 1, "en-GB"), (64, 64, "en"), (1024, 1, "en")] {
        let registry = InProcessRegistry::default();
        let ids = register(&registry, workers, kinds).await?;
        let wanted = Wanted { language: wanted.into(), model: None };
        let request = || ReserveRequest {
            lease: LeaseId::generate(),
            wanted: wanted.clone(),
            ttl: Duration::from_secs(3600),
            exclude: Vec::new(),
        };
        let mut held = Vec::new();
        for _ in 0..workers * SLOTS / 2 {
            let request = request();
            let Reservation { worker_id, .. } = registry.reserve(&request).await?;
            held.push(Lease { id: request.lease, worker_id, ttl: request.ttl });
        }
        held.truncate(256);

        let (mut reserve, mut release, mut heartbeat, mut renew) =
            <(Duration, Duration, Duration, Duration)>::default();
        for round in 0..ROUNDS {
            let request = request();
            let begun = Instant::now();
            registry.reserve(&request).await?;
            reserve += begun.elapsed();
            let begun = Instant::now();
            registry.release(&request.lease).await?;
            release += begun.elapsed();
            let begun = Instant::now();
            let _ = registry.heartbeat(&ids[round % ids.len()]).await?;
            heartbeat += begun.elapsed();
        }
        for _ in 0..ROUNDS / 100 {
            let begun = Instant::now();
            registry.renew(&held).await?;
            renew += begun.elapsed();
        }
        let micros = |total: Duration, rounds: usize| total.as_secs_f64() * 1e6 / rounds as f64;
        println!(
            "{workers:7}  {kinds:5}  {:6}  {:11.2}  {:10.2}  {:12.2}  {:16.2}",
            wanted.language,
            micros(reserve, ROUNDS),
            micros(release, ROUNDS),
            micros(heartbeat, ROUNDS),
            micros(renew, ROUNDS / 100 * held.len()),
        );
    }
    Ok(())
}

/// `kinds` different records of engines among the workers.
async fn register(
    registry: &InProcessRegistry,
    workers: usize,
    kinds: usize,
) -> Result<Vec<WorkerId>, Box<dyn std::error::Error>> {
    let mut ids = Vec::new();
    for number in 0..workers {
        let engine = Capabilities {
            engine_id: "echo".into(),
            model: format!("echo-{}", number % kinds),
            version: "1".into(),
            languages: Languages::Only(vec!["de".into(), "en".into()]),
            partials: true,
            word_timestamps: true,
            confidence: true,
            vocabulary: false,
            punctuation: false,
            alignment: false,
            translation: false,
            max_streams: None,
        };
        let worker_id = WorkerId::generate();
        ids.push(worker_id.clone());
        let record = WorkerRecord { worker_id, address: Address::InProcess, capacity: SLOTS, engines: vec![engine] };
        registry.register(record).await?;
    }
    Ok(ids)
}
