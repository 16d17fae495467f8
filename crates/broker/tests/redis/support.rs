//! Brokers on a server of their own.

use std::time::{Duration, Instant};

use dalston_broker::{Broker, BrokerError, Delivery, RedisBroker};
use dalston_redis::{Redis, Settings, testing::RedisServer};

/// What nothing may take that must happen at all.
pub const SOON: Duration = Duration::from_secs(30);
/// Longer than any test.
pub const LONG: Duration = Duration::from_secs(300);

/// What one process would have. It takes as much as `limit`.
pub fn broker(server: &RedisServer, limit: usize) -> RedisBroker {
    let redis = Redis::open(&server.url(), Settings::default()).expect("it is an address");
    RedisBroker::new(&redis, "test", limit)
}

/// What `consumer` gets of queue `q` within `wait`.
pub async fn claim(
    broker: &RedisBroker,
    consumer: &str,
    lease: Duration,
    wait: Duration,
) -> Result<Option<Delivery>, BrokerError> {
    broker.claim(&["q".to_owned()], consumer, lease, wait).await
}

/// What an operation gives as soon as the broker is available.
pub async fn soon<T>(mut operation: impl AsyncFnMut() -> Result<T, BrokerError>) -> T {
    let start = Instant::now();
    loop {
        match operation().await {
            Ok(done) => return done,
            Err(BrokerError::Unavailable(_)) if start.elapsed() < SOON => {
                // As its users do.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("after {:?}: {error}", start.elapsed()),
        }
    }
}
