//! The registry on a real redis-server.

mod order;

use std::sync::{Arc, Weak};

use dalston_redis::{
    cmd,
    testing::{Launch, RedisServer},
};
use dalston_telemetry::Tracers;

use self::order::Ordered;
use super::*;
use crate::{
    conformance::{engine, registry::Subject, worker},
    registry::properties,
};

/// One for all tests that do it no harm, each with a prefix of its own. It ends with the last test that has it.
fn server() -> Arc<RedisServer> {
    static SERVER: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
    let mut shared = SERVER.lock();
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(RedisServer::start());
        *shared = Arc::downgrade(&server);
        server
    })
}

fn prefix() -> String {
    LeaseId::generate().to_string()
}

fn registry(url: &str, prefix: &str, times: RegistryTimes) -> Arc<RedisRegistry> {
    Arc::new(RedisRegistry::open(url, prefix, times, Tracers::off()).expect("it is a URL"))
}

/// Lets time pass on the server's clock, without anybody waiting for it.
async fn pass(redis: Redis, key: String, time: Duration) {
    let back = -i64::try_from(millis(time)).expect("it is a short time");
    let () = redis.query(cmd("HINCRBY").arg(key).arg("stood_still").arg(back)).await.expect("the server answers");
}

async fn subject() -> Subject {
    subject_with(server(), RegistryTimes::default())
}

fn subject_with(server: Arc<RedisServer>, times: RegistryTimes) -> Subject {
    let prefix = prefix();
    let registry = registry(&server.url(), &prefix, times);
    let (redis, key) = (registry.redis.clone(), Keys::new(&prefix, "workers").key("clock"));
    let pass = Box::new(move |time| {
        let _held = &server;
        pass(redis.clone(), key.clone(), time).boxed()
    });
    Subject { registry: Arc::new(Ordered(registry)), times, pass }
}

crate::registry_conformance!(tokio::test, subject);

#[tokio::test]
async fn a_reservation_is_one_round_trip_once_the_kinds_of_workers_are_known() {
    let server = RedisServer::start();
    let registry = registry(&server.url(), "test", RegistryTimes::default());
    let calls = || {
        let stats = server.ask(&["INFO", "commandstats"]);
        let evalsha =
            stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap_or("0").to_owned();
        evalsha.split(',').next().and_then(|calls| calls.parse::<u32>().ok()).expect("it is a number")
    };
    for code in ["de", "en", "fr"] {
        registry.register(worker(20, vec![engine(code, code, &[code])])).await.expect("the registry answers");
    }
    let request = || ReserveRequest {
        lease: LeaseId::generate(),
        wanted: Wanted { language: "en".into(), model: None },
        ttl: Duration::from_secs(15),
        exclude: Vec::new(),
    };
    registry.reserve(&request()).await.expect("there is room");
    let before = calls();
    for _ in 0..10 {
        registry.reserve(&request()).await.expect("there is room");
    }
    assert_eq!(calls() - before, 10);
}

/// Every key of a script in one slot, or the cluster refuses it.
#[tokio::test]
async fn a_cluster_runs_every_script() {
    let server = Launch::default().cluster().start();
    let registry = registry(&server.url(), "test", RegistryTimes::default());
    let record = worker(2, vec![engine("echo", "echo-en", &["en"])]);
    let id = record.worker_id.clone();
    let ttl = Duration::from_secs(15);
    let named = |lease: &LeaseId| Lease { id: lease.clone(), worker_id: id.clone(), ttl };
    let (held, lease) = (LeaseId::generate(), LeaseId::generate());
    registry.restore(record, vec![held.clone()]).await.expect("it restores");
    assert_eq!(registry.heartbeat(&id).await, Ok(Heartbeat::Counted));
    let wanted = Wanted { language: "en".into(), model: None };
    let request = ReserveRequest { lease: lease.clone(), wanted, ttl, exclude: Vec::new() };
    assert_eq!(registry.reserve(&request).await.expect("there is room").worker_id, id);
    registry.renew(&[named(&held), named(&lease), named(&LeaseId::generate())]).await.expect("it renews");
    registry.release(&lease).await.expect("it releases");
    registry.suspect(&id, Duration::from_secs(1)).await.expect("it suspects");
    registry.drain(&id).await.expect("it drains");
    assert_eq!(registry.workers().await.expect("it lists")[0].used, 1);
    registry.deregister(&id).await.expect("it forgets");
    assert_eq!(registry.workers().await, Ok(Vec::new()));
    registry.ask::<()>(registry.scripts.beat()).await.expect("it beats");
    let left = ["leases", "kinds", "slots", "order", "places"].map(|column| format!("{{test:workers}}:{column}"));
    for key in left {
        assert_eq!(server.ask(&["EXISTS", &key]), "0", "{key}");
    }
}

/// An hour forwards and an hour back, as an operator's hand or a replica's clock does it.
#[tokio::test]
async fn a_clock_that_jumps_costs_no_lease() {
    let server = server();
    let prefix = prefix();
    let registry = registry(&server.url(), &prefix, RegistryTimes::default());
    registry.register(worker(1, vec![engine("echo", "echo-en", &["en"])])).await.expect("the registry answers");
    let wanted = Wanted { language: "en".into(), model: None };
    let ttl = Duration::from_secs(15);
    let request = ReserveRequest { lease: LeaseId::generate(), wanted, ttl, exclude: Vec::new() };
    registry.reserve(&request).await.expect("there is room");
    for hour in [-3_600_000, 3_600_000] {
        registry.ask::<()>(registry.scripts.beat()).await.expect("it beats");
        // What was kept until now moves to the other side of the jump, instead of the clock.
        for field in ["beat", "stood_still"] {
            let key = Keys::new(&prefix, "workers").key("clock");
            let () = registry.redis.query(cmd("HINCRBY").arg(key).arg(field).arg(hour)).await.expect("it answers");
        }
        let status = registry.workers().await.expect("it lists").remove(0);
        assert_eq!((status.health, status.used), (crate::Health::Ready, 1), "{hour}");
    }
}

/// The gateway is quicker than the worker: it keeps its session, and takes the slot again as soon as the worker is back.
#[tokio::test]
async fn a_lease_that_the_server_forgot_is_taken_again_where_a_slot_is_free() {
    let server = RedisServer::start();
    let [mine, other] = [(); 2].map(|()| registry(&server.url(), "test", RegistryTimes::default()));
    let record = worker(1, vec![engine("echo", "echo-en", &["en"])]);
    let ttl = Duration::from_secs(15);
    let request = || {
        let wanted = Wanted { language: "en".into(), model: None };
        ReserveRequest { lease: LeaseId::generate(), wanted, ttl, exclude: Vec::new() }
    };
    let wish = request();
    let lease = [Lease { id: wish.lease.clone(), worker_id: record.worker_id.clone(), ttl }];
    mine.register(record.clone()).await.expect("the registry answers");
    mine.reserve(&wish).await.expect("there is room");
    for _ in 0..2 {
        server.ask(&["FLUSHALL"]);
        mine.renew(&lease).await.expect("before the worker is back");
        assert_eq!(mine.heartbeat(&record.worker_id).await, Ok(Heartbeat::Unknown));
        mine.register(record.clone()).await.expect("the registry answers");
        mine.renew(&lease).await.expect("after");
        assert!(matches!(other.reserve(&request()).await, Err(ReserveError::NoCapacity { .. })), "it is taken");
    }

    server.ask(&["FLUSHALL"]);
    other.register(record.clone()).await.expect("the registry answers");
    let sold = request();
    other.reserve(&sold).await.expect("nobody has said that it is taken");
    mine.renew(&lease).await.expect("the registry answers");
    assert_eq!(mine.workers().await.expect("it lists")[0].used, 1, "it is not sold twice");
    other.release(&sold.lease).await.expect("its worker had no room for it");
    mine.renew(&lease).await.expect("the registry answers");
    assert!(matches!(other.reserve(&request()).await, Err(ReserveError::NoCapacity { .. })), "it is taken");
}

#[test]
fn no_history_leaks_a_slot_or_sells_it_twice() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let server = server();
    properties::play_all(32, async || subject_with(server.clone(), properties::TIMES), &runtime);
}
