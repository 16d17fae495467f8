//! The registry that gateways and workers of many machines share: one Lua script per operation.
//!
//! * **One round trip each.** A reservation says which kinds of workers fit, so that the one rule of [`Wanted::fit`] need not
//!   be written twice; the server answers with a kind that it was not asked about at most once in that kind's life.
//! * **The server's clock**, less the time in which it stood still: when nobody could beat, nobody could renew either, and
//!   nothing could be given to others. A server that was stopped for a minute finds everybody as alive as before.
//! * **What the server forgets, others know.** A restart may lose the newest writes or all of them. Each life of the server
//!   has workers register anew with the leases they hold, and gateways say with each renewal what they have. A lease that was
//!   forgotten is taken again only where a slot is free: nothing is sold twice.
//! * **While the server is away** every operation answers [`Unavailable`] within a second. No session depends on one: leases
//!   that could not be renewed are renewed when it is back.

mod reply;
mod script;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use dalston_engine_sdk::Capabilities;
use dalston_protocol::{LeaseId, WorkerId};
use dalston_redis::{FromRedisValue, Keys, Redis, RedisError, ScriptCall, Settings};
use dalston_telemetry::{Component, Tracers};
use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use self::{
    reply::{Refused, Reserved},
    script::Scripts,
};
use super::{
    Heartbeat, Lease, Registry, RegistryTimes, Reservation, ReserveError, ReserveRequest, Unavailable, clock::BEAT,
    kinds::Kinds,
};
use crate::{Wanted, WorkerRecord, WorkerStatus};

/// For an answer. Sessions that begin and end wait for it, so it is short.
const ANSWER: Duration = Duration::from_secs(1);
/// Rounds of one reservation: the first may meet a kind of workers that is new here, the second one that is newer still.
const ROUNDS: usize = 3;
/// Kinds of workers that are remembered. Beyond it all are forgotten, and learned again as they are met.
const MAX_KINDS: usize = 256;

/// Engines by the digest that the server knows them by.
type EnginesByDigest = HashMap<String, Arc<[Capabilities]>>;

/// The registry on Redis. Each gateway and each worker has its own, and all that share a server and a prefix are one.
#[derive(Debug)]
pub struct RedisRegistry {
    redis: Redis,
    scripts: Scripts,
    times: RegistryTimes,
    /// Not an async lock: no await happens under it.
    kinds: Mutex<EnginesByDigest>,
}

impl RedisRegistry {
    /// Reads the URL, as [`Redis::open`] does, and connects when it is first asked something. Registries of one installation
    /// have the same `prefix` and `times`.
    ///
    /// # Errors
    /// The URL cannot be used.
    ///
    /// # Panics
    /// The prefix has a brace.
    pub fn open(url: &str, prefix: &str, times: RegistryTimes, tracers: Tracers) -> Result<Self, RedisError> {
        let settings = Settings { connect: ANSWER, answer: ANSWER, component: Component::SessionRouter, tracers };
        let redis = Redis::open(url, settings)?;
        let scripts = Scripts::new(&Keys::new(prefix, "workers"), &times);
        Ok(Self { redis, scripts, times, kinds: Mutex::default() })
    }

    /// Lets the server notice when it stands still, for as long as it is polled. Every process that has a registry polls it.
    pub async fn notice_standstills(self: Arc<Self>) {
        let mut beats = tokio::time::interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            // A server that is away hears none, which is what it will notice.
            let _: Result<(), _> = self.ask(self.scripts.beat()).await;
        }
    }

    async fn ask<T: FromRedisValue>(&self, call: ScriptCall<'_>) -> Result<T, Unavailable> {
        self.redis.run(&call).await.map_err(|error| unavailable(&error))
    }

    async fn do_restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> Result<(), Unavailable> {
        let json = |json: serde_json::Result<String>| json.expect("a record has a JSON form");
        let mut call = self
            .scripts
            .restore()
            .arg(worker.worker_id.as_str())
            .arg(worker.capacity)
            .arg(json(serde_json::to_string(&worker.address)))
            .arg(json(serde_json::to_string(&worker.engines)))
            .arg(millis(self.times.held_ttl()));
        for lease in &held {
            call = call.arg(lease.as_str());
        }
        self.ask(call).await
    }

    async fn do_reserve(&self, request: &ReserveRequest) -> Result<Reservation, ReserveError> {
        for _ in 0..ROUNDS {
            let engines = self.kinds.lock().clone();
            let fits: HashMap<&str, _> =
                engines.iter().map(|(digest, engines)| (digest.as_str(), request.wanted.fit(engines))).collect();
            match reply::reserved(self.ask(self.reserve_call(request, &fits)).await?)? {
                Reserved::Unknown(kinds) => self.learn(kinds),
                Reserved::Granted { worker_id, address, kind, candidates } => {
                    let fit = fits.get(kind.as_str()).and_then(|fit| fit.clone().ok());
                    let fit = fit.ok_or_else(|| reply::nonsense("a kind that does not fit"))?;
                    let (engine_id, language) = (fit.engine_id, fit.language);
                    return Ok(Reservation { worker_id, address, engine_id, language, candidates });
                }
                Reserved::Refused(refused) => return Err(self.explain(&request.wanted, &engines, &refused)),
            }
        }
        Err(Unavailable("new kinds of workers come faster than they can be learned".into()).into())
    }

    fn reserve_call<E>(&self, request: &ReserveRequest, fits: &HashMap<&str, Result<crate::Fit, E>>) -> ScriptCall<'_> {
        let mut call = self.scripts.reserve().arg(request.lease.as_str()).arg(millis(request.ttl));
        for wanted in [true, false] {
            let digests: Vec<&str> =
                fits.iter().filter(|(_, fit)| fit.is_ok() == wanted).map(|(digest, _)| *digest).collect();
            call = call.arg(digests.len());
            for digest in digests {
                call = call.arg(digest);
            }
        }
        for worker in &request.exclude {
            call = call.arg(worker.as_str());
        }
        call
    }

    fn learn(&self, kinds: Vec<(String, Arc<[Capabilities]>)>) {
        let mut known = self.kinds.lock();
        if known.len() + kinds.len() > MAX_KINDS {
            known.clear();
        }
        known.extend(kinds);
    }

    /// Why nobody was chosen.
    fn explain(&self, wanted: &Wanted, engines: &EnginesByDigest, refused: &Refused) -> ReserveError {
        let present: Vec<_> = refused.kinds.iter().filter_map(|digest| engines.get(digest)).collect();
        let mut kinds = Kinds::new(wanted);
        let fitting = present.iter().filter(|engines| kinds.fit(engines).is_ok()).count();
        if present.is_empty() {
            return ReserveError::NoCapacity { retry_after: self.times.retry_lost() };
        }
        if fitting == 0 {
            return kinds.misfit();
        }
        refused
            .retry_after(&self.times)
            .map_or(ReserveError::Draining, |retry_after| ReserveError::NoCapacity { retry_after })
    }

    async fn do_workers(&self) -> Result<Vec<WorkerStatus>, Unavailable> {
        reply::workers(self.ask(self.scripts.workers()).await?)
    }
}

impl Registry for RedisRegistry {
    fn restore(&self, worker: WorkerRecord, held: Vec<LeaseId>) -> BoxFuture<'_, Result<(), Unavailable>> {
        self.do_restore(worker, held).boxed()
    }

    fn heartbeat<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<Heartbeat, Unavailable>> {
        async move {
            let counted: bool = self.ask(self.scripts.heartbeat().arg(worker.as_str())).await?;
            Ok(if counted { Heartbeat::Counted } else { Heartbeat::Unknown })
        }
        .boxed()
    }

    fn deregister<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.ask(self.scripts.deregister().arg(worker.as_str())).boxed()
    }

    fn drain<'a>(&'a self, worker: &'a WorkerId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.ask(self.scripts.drain().arg(worker.as_str())).boxed()
    }

    fn suspect<'a>(&'a self, worker: &'a WorkerId, cool_down: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.ask(self.scripts.suspect().arg(worker.as_str()).arg(millis(cool_down))).boxed()
    }

    fn reserve<'a>(&'a self, request: &'a ReserveRequest) -> BoxFuture<'a, Result<Reservation, ReserveError>> {
        self.do_reserve(request).boxed()
    }

    fn renew<'a>(&'a self, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), Unavailable>> {
        let call = leases.iter().fold(self.scripts.renew(), |call, Lease { id, worker_id, ttl }| {
            call.arg(id.as_str()).arg(worker_id.as_str()).arg(millis(*ttl))
        });
        self.ask(call).boxed()
    }

    fn release<'a>(&'a self, lease: &'a LeaseId) -> BoxFuture<'a, Result<(), Unavailable>> {
        self.ask(self.scripts.release().arg(lease.as_str())).boxed()
    }

    fn workers(&self) -> BoxFuture<'_, Result<Vec<WorkerStatus>, Unavailable>> {
        self.do_workers().boxed()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn unavailable(error: &RedisError) -> Unavailable {
    Unavailable(error.to_string())
}
