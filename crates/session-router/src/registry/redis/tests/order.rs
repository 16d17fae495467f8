//! The order in which workers are chosen says what the other columns say, whatever was done.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use dalston_redis::Script;
use proptest::prelude::*;

use super::*;
use crate::registry::Registry;

/// The registry, which looks at its order after each operation.
#[derive(Debug)]
pub(super) struct Ordered(pub(super) Arc<RedisRegistry>);

impl Ordered {
    fn look_after<'a, T: Send + 'a>(&'a self, operation: BoxFuture<'a, T>) -> BoxFuture<'a, T> {
        async move {
            let answer = operation.await;
            assert_in_order(&self.0).await;
            answer
        }
        .boxed()
    }
}

impl Registry for Ordered {
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.look_after(self.0.restore(worker, held))
    }

    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>> {
        self.look_after(self.0.heartbeat(worker))
    }

    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.look_after(self.0.deregister(worker))
    }

    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.look_after(self.0.drain(worker))
    }

    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.look_after(self.0.suspect(worker, cool_down))
    }

    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>> {
        self.look_after(self.0.reserve(request))
    }

    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.look_after(self.0.renew(leases))
    }

    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.look_after(self.0.release(lease))
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>> {
        self.look_after(self.0.workers())
    }
}

/// All columns of one moment, as they stand: nothing is swept.
const COLUMNS: &str = "
    local function all(key) return redis.call('ZRANGE', key, 0, -1) end
    local function map(key) return redis.call('HGETALL', key) end
    return {all(KEYS[14]), map(KEYS[15]), all(KEYS[2]), map(KEYS[3]), map(KEYS[5]), map(KEYS[9]),
        redis.call('SMEMBERS', KEYS[7]), all(KEYS[8]), all(KEYS[11])}";

async fn assert_in_order(registry: &RedisRegistry) {
    let script = Script::new("test.columns", COLUMNS);
    let columns: Vec<Vec<String>> = registry.ask(registry.scripts.with_keys(&script)).await.expect("it answers");
    let [order, places, seen, capacity, kind, chosen, draining, suspects, slots] = &columns[..] else {
        panic!("all columns were asked for")
    };
    let map = |flat: &[String]| -> BTreeMap<String, String> {
        flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    let (capacity, kind, chosen) = (map(capacity), map(kind), map(chosen));
    let belongs = |worker: &String| {
        let capacity: usize = capacity[worker].parse().expect("it is a number");
        let used = slots.iter().filter(|slot| slot.starts_with(&format!("{worker}/"))).count();
        let state = if draining.contains(worker) || suspects.contains(worker) {
            "out".to_owned()
        } else if used < capacity {
            format!("{:.17}", used as f64 / capacity as f64)
        } else {
            "full".to_owned()
        };
        let turn = chosen.get(worker).map_or("0", String::as_str);
        format!("{}/{state}/{turn:0>16}/{worker}", kind[worker])
    };
    let expected: BTreeMap<String, String> = seen.iter().map(|worker| (worker.clone(), belongs(worker))).collect();
    assert_eq!(map(places), expected);
    assert_eq!(order, &expected.into_values().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
}

fn wish(exclude: Vec<WorkerId>) -> ReserveRequest {
    let wanted = Wanted { language: "en".into(), model: None };
    ReserveRequest { lease: LeaseId::generate(), wanted, ttl: Duration::from_secs(15), exclude }
}

async fn add(registry: &RedisRegistry, capacity: usize) -> WorkerId {
    let record = worker(capacity, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    registry.register(record).await.expect("the registry answers");
    id
}

/// What the server does for one does not grow with the number of workers.
#[tokio::test]
async fn a_reservation_looks_at_few_of_many_workers() {
    let server = RedisServer::start();
    let mut done = BTreeSet::new();
    for workers in [2, 20, 200] {
        let registry = registry(&server.url(), &prefix(), RegistryTimes::default());
        let mut first = None;
        for _ in 0..workers {
            first = Some(add(&registry, 2).await);
        }
        registry.reserve(&wish(Vec::new())).await.expect("there is room");
        server.ask(&["CONFIG", "RESETSTAT"]);
        let reservation = registry.reserve(&wish(first.into_iter().collect())).await.expect("there is room");
        assert_eq!(reservation.candidates, workers - 1);
        let stats = server.ask(&["INFO", "commandstats"]);
        let calls = stats.lines().filter(|line| !line.starts_with("cmdstat_config")).filter_map(|line| {
            let calls = line.split_once(":calls=")?.1.split(',').next()?;
            calls.parse::<u32>().ok()
        });
        done.insert(calls.sum::<u32>());
    }
    assert_eq!(done.len(), 1, "{done:?} commands");
    assert!(done.iter().all(|&commands| (10..40).contains(&commands)), "{done:?} commands");
}

/// As a release of before there was an order leaves it.
#[tokio::test]
async fn a_registry_without_an_order_gets_one() {
    let server = server();
    let prefix = prefix();
    let registry = registry(&server.url(), &prefix, RegistryTimes::default());
    let keys = Keys::new(&prefix, "workers");
    let (busy, idle) = (add(&registry, 2).await, add(&registry, 2).await);
    registry.reserve(&wish(vec![idle.clone()])).await.expect("there is room");
    registry.suspect(&add(&registry, 2).await, Duration::from_secs(60)).await.expect("the registry answers");
    server.ask(&["DEL", &keys.key("order"), &keys.key("places")]);
    let reservation = registry.reserve(&wish(Vec::new())).await.expect("there is room");
    assert_eq!((reservation.worker_id, reservation.candidates), (idle, 2));
    let reservation = registry.reserve(&wish(Vec::new())).await.expect("there is room");
    assert_eq!((reservation.worker_id, reservation.candidates), (busy, 2));
    assert_in_order(&registry).await;
}

/// Whose release placed nobody.
#[tokio::test]
async fn a_heartbeat_puts_right_what_an_older_process_did_beside() {
    let server = server();
    let prefix = prefix();
    let registry = registry(&server.url(), &prefix, RegistryTimes::default());
    let keys = Keys::new(&prefix, "workers");
    let id = add(&registry, 1).await;
    let held = wish(Vec::new());
    registry.reserve(&held).await.expect("there is room");
    server.ask(&["ZREM", &keys.key("slots"), &format!("{id}/{}", held.lease)]);
    server.ask(&["ZREM", &keys.key("expiry"), held.lease.as_str()]);
    server.ask(&["HDEL", &keys.key("leases"), held.lease.as_str()]);
    assert_eq!(registry.heartbeat(&id).await, Ok(Heartbeat::Counted));
    assert_in_order(&registry).await;
    assert_eq!(registry.reserve(&wish(Vec::new())).await.expect("there is room").worker_id, id);
}

fn fraction() -> impl Strategy<Value = (u64, u64)> {
    const LARGEST: u64 = 1 << 26;
    prop_oneof![1..20u64, LARGEST - 20..=LARGEST, 1..=LARGEST].prop_flat_map(|capacity| {
        let near = |used: u64| used.saturating_sub(10)..(used + 10).min(capacity);
        (prop_oneof![0..capacity, near(capacity), near(capacity / 2), near(capacity / 3)], Just(capacity))
    })
}

#[test]
fn shares_sort_as_fractions_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let server = server();
    let registry = registry(&server.url(), &prefix(), RegistryTimes::default());
    let script = Script::new(
        "test.share",
        concat!(
            include_str!("../registry.lua"),
            "local shares = {}
            for i = 3, #ARGV, 2 do table.insert(shares, share(tonumber(ARGV[i]), tonumber(ARGV[i + 1]))) end
            return shares"
        ),
    );
    let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(fractions in prop::collection::vec(fraction(), 2..400))| {
        let call = fractions.iter().fold(registry.scripts.with_keys(&script), |call, (used, capacity)| {
            call.arg(*used).arg(*capacity)
        });
        let shares: Vec<String> = runtime.block_on(registry.ask(call)).expect("the server answers");
        for (one, (a, b)) in shares.iter().zip(&fractions) {
            for (other, (c, d)) in shares.iter().zip(&fractions) {
                let order: Ordering = (a * d).cmp(&(c * b));
                prop_assert_eq!(one.cmp(other), order, "{}/{} and {}/{}", a, b, c, d);
            }
        }
    });
}
