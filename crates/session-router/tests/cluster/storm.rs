//! Everything fails in every order, from a seed.
//!
//! * No worker ever has more sessions than slots, and no more slots are in use than there are (RT7).
//! * No session ends by itself unless its worker has died.
//! * When the faults have stopped, the slots in use are the live sessions, on every worker, and stay so.

use std::{collections::HashSet, sync::atomic::Ordering::SeqCst, time::Duration};

use dalston_protocol::WorkerId;
use dalston_redis::testing::{Launch, RedisServer};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::sleep;

use super::stage::{Gateway, LEASE, Worker};

const GATEWAYS: usize = 3;
const WORKERS: usize = 3;
const STEPS: usize = 60;

struct Storm {
    chance: StdRng,
    redis: RedisServer,
    gateways: Vec<Gateway>,
    workers: Vec<Worker>,
    dead: HashSet<WorkerId>,
    ended: Vec<WorkerId>,
}

impl Storm {
    async fn new(seed: u64, redis: RedisServer) -> Self {
        let (mut gateways, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..GATEWAYS {
            gateways.push(Gateway::start(&redis).await);
        }
        for capacity in 2..2 + WORKERS {
            workers.push(Worker::start(&redis, capacity).await);
        }
        Self { chance: StdRng::seed_from_u64(seed), redis, gateways, workers, dead: HashSet::new(), ended: Vec::new() }
    }

    async fn step(&mut self) {
        let gateway = self.chance.random_range(0..GATEWAYS);
        match self.chance.random_range(0..100) {
            0..50 => {
                // Refused when all slots are in use, or Redis is away.
                let _ = self.gateways[gateway].open().await;
            }
            50..75 => {
                let open = self.gateways[gateway].open_sessions();
                if open > 0 {
                    let number = self.chance.random_range(0..open);
                    self.gateways[gateway].hang_up(number).await;
                }
            }
            75..80 => {
                let fresh = Gateway::start(&self.redis).await;
                let crashed = std::mem::replace(&mut self.gateways[gateway], fresh);
                self.ended.extend(crashed.ended.lock().iter().cloned());
                crashed.crash();
            }
            80..85 => {
                let worker = self.chance.random_range(0..WORKERS);
                self.dead.insert(self.workers[worker].id.clone());
                let fresh = Worker::start(&self.redis, self.workers[worker].capacity).await;
                self.workers[worker] = fresh;
            }
            85..90 => {
                let time = Duration::from_millis(self.chance.random_range(100..3_500));
                self.redis.stop();
                sleep(time).await;
                self.redis.cont();
            }
            90..95 => {
                self.redis.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            95..98 => self.redis.restart(),
            _ => sleep(Duration::from_millis(self.chance.random_range(0..1_500))).await,
        }
        for status in self.gateways[0].workers().await {
            assert!(status.used <= status.capacity, "sold twice: {status:?}");
        }
    }

    async fn end(mut self) {
        self.gateways[0].agrees_with(&self.workers).await;
        sleep(LEASE * 2).await;
        self.gateways[0].agrees_with(&self.workers).await;
        for worker in &self.workers {
            assert!(worker.most.load(SeqCst) <= worker.capacity);
        }
        let mut open = 0;
        for gateway in &mut self.gateways {
            open += gateway.open_sessions();
            self.ended.extend(gateway.ended.lock().iter().cloned());
        }
        assert_eq!(open, self.workers.iter().map(Worker::live).sum::<usize>(), "sessions of gateways and of workers");
        let needless: Vec<_> = self.ended.iter().filter(|worker| !self.dead.contains(worker)).collect();
        assert!(needless.is_empty(), "sessions ended though their workers live: {needless:?}");
    }
}

async fn storm(seed: u64, redis: RedisServer) {
    println!("seed {seed}");
    let mut storm = Storm::new(seed, redis).await;
    for _ in 0..STEPS {
        storm.step().await;
    }
    storm.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_is_leaked_or_sold_twice_when_redis_keeps_nothing() {
    storm(1, RedisServer::start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_slot_is_leaked_or_sold_twice_when_redis_keeps_what_it_can() {
    let keeping = Launch::default().with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    storm(2, keeping.start()).await;
}
