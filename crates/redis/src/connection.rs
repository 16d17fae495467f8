//! The shared connection: made when it is needed, thrown away when it is spoilt.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, RedisFuture, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::{
    RedisError, Settings,
    address::{Address, Place},
};

/// Pauses between attempts to connect begin with this and double.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A server that is back is used again within this.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One connection that many use at once; clones share it.
#[derive(Clone)]
pub(crate) enum Wire {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Holds the connection between calls.
#[derive(Default)]
pub(crate) struct Link(Mutex<State>);

#[derive(Default)]
struct State {
    wire: Option<Wire>,
    /// Which connection it is, so that nobody throws away the one after the one that failed him.
    number: u64,
    failure: Option<Failure>,
}

/// Why there is no connection, and when the next attempt is due. Until then calls fail at once: a thousand waiting
/// calls must not be a thousand attempts.
struct Failure {
    error: RedisError,
    pause: Duration,
    until: Instant,
}

impl Link {
    /// The connection, and its number for [`Link::spoilt`]. Whoever comes while it is being made waits for it.
    pub(crate) async fn wire(&self, address: &Address, settings: &Settings) -> Result<(u64, Wire), RedisError> {
        let mut state = self.0.lock().await;
        if let Some(wire) = &state.wire {
            return Ok((state.number, wire.clone()));
        }
        let pause = match &state.failure {
            Some(failure) if Instant::now() < failure.until => return Err(failure.error.clone()),
            Some(failure) => (2 * failure.pause).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        match connect(address, settings).await {
            Ok(wire) => {
                state.number += 1;
                state.wire = Some(wire.clone());
                state.failure = None;
                Ok((state.number, wire))
            }
            Err(error) => {
                state.failure = Some(Failure { error: error.clone(), pause, until: Instant::now() + pause });
                Err(error)
            }
        }
    }

    /// Throws the connection of this number away; whoever is under way on it may still get an answer.
    pub(crate) async fn spoilt(&self, number: u64) {
        let mut state = self.0.lock().await;
        if state.number == number {
            state.wire = None;
        }
    }
}

async fn connect(address: &Address, settings: &Settings) -> Result<Wire, RedisError> {
    // Calls have deadlines of their own.
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(settings.connect)).set_response_timeout(None);
    let connecting = async {
        match &address.place {
            Place::Server(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Wire::Server)
            }
            Place::Sentinel(client) => {
                client.lock().await.get_async_connection_with_config(&config).await.map(Wire::Server)
            }
            Place::Cluster { cluster, .. } => cluster.get_async_connection().await.map(Wire::Cluster),
        }
    };
    bounded(settings.connect, connecting).await
}

/// Whom to listen to: any node of a cluster does, since each hears what is published at another. `attempt` counts
/// failures, so that another one is tried after each.
pub(crate) async fn to_listen_to(address: &Address, settings: &Settings, attempt: usize) -> Result<Client, RedisError> {
    match &address.place {
        Place::Server(client) => Ok(Client::clone(client)),
        Place::Sentinel(client) => {
            bounded(settings.connect, async { client.lock().await.async_get_client().await }).await
        }
        Place::Cluster { nodes, .. } => Ok(nodes[attempt % nodes.len()].clone()),
    }
}

/// A step of connecting that takes no longer than `limit`.
pub(crate) async fn bounded<T>(
    limit: Duration,
    step: impl Future<Output = redis::RedisResult<T>>,
) -> Result<T, RedisError> {
    match timeout(limit, step).await {
        Ok(done) => done.map_err(|error| RedisError::connecting(&error)),
        Err(_) => Err(RedisError::Unreachable(format!("no connection within {limit:?}"))),
    }
}
