//! The suite that every broker passes, on a server and on a cluster.

use std::{sync::Arc, time::Duration};

use dalston_broker::conformance::Subject;
use dalston_redis::testing::{Launch, RedisServer};
use futures_util::FutureExt;

use crate::support::broker;

fn subject_of(server: RedisServer) -> Subject {
    let capacity = 200;
    Subject {
        broker: Arc::new(broker(&server, capacity)),
        capacity,
        // Long enough for a busy machine to renew in time, short enough to wait for.
        lease: Duration::from_secs(1),
        pass: |time| tokio::time::sleep(time).boxed(),
        world: Box::new(server),
    }
}

mod server {
    use super::*;

    async fn subject() -> Subject {
        subject_of(RedisServer::start())
    }

    dalston_broker::broker_conformance!(tokio::test, subject);
}

mod cluster {
    use super::*;

    async fn subject() -> Subject {
        subject_of(Launch::default().cluster().start())
    }

    dalston_broker::broker_conformance!(tokio::test, subject);
}
