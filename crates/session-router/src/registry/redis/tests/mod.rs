//! The registry on a real redis-server.

use std::sync::{Arc, Weak};

use dalston_redis::{cmd, testing::RedisServer};
use dalston_telemetry::Tracers;

use super::*;
use crate::conformance::registry::Subject;

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
    let (server, times, prefix) = (server(), RegistryTimes::default(), prefix());
    let registry = registry(&server.url(), &prefix, times);
    let (redis, key) = (registry.redis.clone(), Keys::new(&prefix, "workers").key("clock"));
    let pass = Box::new(move |time| {
        let _held = &server;
        pass(redis.clone(), key.clone(), time).boxed()
    });
    Subject { registry, times, pass }
}

crate::registry_conformance!(tokio::test, subject);
