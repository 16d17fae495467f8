//! The service: finds a worker for a session and opens the link to it.

mod observation;
mod opens;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use dalston_protocol::{ApiError, RequestId, SessionId, WorkerId, realtime::SessionConfig};
use dalston_telemetry::{Metrics, TraceContext, Tracers};
use tokio::time::timeout;
use tracing::warn;

use self::{
    observation::{Observation, Outcome},
    opens::Opens,
};
use crate::{
    LeaseGuard, Links, Registry, Reservation, ReserveError, ReserveRequest, Unavailable, Wanted, WorkerStatus,
    keeper::Keeper,
    link::{Continuation, Refusal, SessionChannel, SessionOffer},
};

pub use settings::RouterSettings;

/// Finds a worker for each session of one gateway.
#[derive(Debug)]
pub struct SessionRouter {
    registry: Arc<dyn Registry>,
    links: Links,
    keeper: Keeper,
    opens: Opens,
    settings: RouterSettings,
    tracers: Tracers,
    metrics: Arc<Metrics>,
}

/// A session that looks for a worker.
#[derive(Debug, Clone)]
pub struct SessionRequest {
    /// The session.
    pub session_id: SessionId,
    /// The request that opened it.
    pub request_id: RequestId,
    /// Whose session it is: the id of the API key, or `anonymous`.
    pub tenant: Arc<str>,
    /// What the client asked for.
    pub config: SessionConfig,
}

/// A session that has its worker.
#[derive(Debug)]
pub struct Allocated {
    /// The session, both ways.
    pub channel: SessionChannel,
    /// The slot. Keep it as long as the session lives.
    pub lease: LeaseGuard,
    /// Who serves the session.
    pub worker_id: WorkerId,
    /// With what.
    pub engine_id: String,
    /// In which language: the engine's own code, or `auto` if the engine finds out by itself.
    pub language: String,
    /// Whether the worker is of another process, and may die without this one.
    pub is_elsewhere: bool,
}

impl SessionRouter {
    /// A router that starts without links. Must be called on a runtime: one task renews the leases of all its sessions, and
    /// ends with the router.
    pub fn new(registry: Arc<dyn Registry>, settings: RouterSettings, tracers: Tracers, metrics: Arc<Metrics>) -> Self {
        let keeper = Keeper::start(registry.clone(), settings.lease_ttl);
        Self { registry, links: Links::new(), keeper, opens: Opens::default(), settings, tracers, metrics }
    }

    /// With these links in the place of its own.
    #[must_use]
    pub fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// The ways to the workers, to be added to as workers of this process come and go.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// All workers as they stand.
    ///
    /// # Errors
    /// The registry did not answer.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, Unavailable> {
        self.registry.workers().await
    }

    /// A worker died in the middle of a session: its channel ended without a close. It gets no sessions until it proves that it
    /// lives, from any gateway; if it is dead, its heartbeats will say so to all within their time.
    pub async fn worker_died(&self, worker: &WorkerId) {
        self.pass_over(worker, &Refusal::Unreachable("it ended a session without a word".into())).await;
    }

    /// Reserves a slot and opens the link to its worker. A worker that refuses is passed over for the next one, a few times; one
    /// that is late for this session and not for others may be tried again.
    ///
    /// Takes at most [`RouterSettings::open_deadline`] per attempt. The future may be dropped at any time: what it had
    /// reserved is released, and a worker that had accepted sees a client that went away.
    ///
    /// # Errors
    /// As the client is to be told: no such model or language, no capacity, draining, or the worker's own rejection.
    pub async fn allocate(&self, request: SessionRequest, parent: &TraceContext) -> Result<Allocated, ApiError> {
        self.find(&request, None, None, parent).await
    }

    /// As [`SessionRouter::allocate`], also for a session that another worker had. The worker `not` is not tried.
    ///
    /// # Errors
    /// As there.
    pub async fn find(
        &self,
        request: &SessionRequest,
        continues: Option<Continuation>,
        not: Option<&WorkerId>,
        parent: &TraceContext,
    ) -> Result<Allocated, ApiError> {
        let not = not.into_iter().cloned().collect();
        let continues = continues.map(Box::new);
        let wanted = Wanted::from(&request.config);
        let mut observed = Observation::begin(self.tracers.allocate(parent), request, &self.metrics);
        if let Some(continues) = &continues {
            observed.moves(continues.moves);
        }
        let result = self.try_workers(request, &wanted, not, continues, &mut observed).await;
        observed.end(match &result {
            Ok(_) => Outcome::Allocated,
            Err(error) => Outcome::Refused(error.code),
        });
        result
    }

    async fn try_workers(
        &self,
        request: &SessionRequest,
        wanted: &Wanted,
        mut tried: Vec<WorkerId>,
        continues: Option<Box<Continuation>>,
        observed: &mut Observation,
    ) -> Result<Allocated, ApiError> {
        for _ in 0..self.settings.max_attempts {
            let (reservation, lease) =
                self.reserve(wanted, &tried).await.map_err(|error| refusal::explain(error, wanted))?;
            observed.attempt(&reservation);

            let offer = offer(request, &lease, observed.context(), continues.clone());
            match self.open(&reservation, offer).await {
                Ok(channel) => {
                    let Reservation { worker_id, engine_id, language, .. } = reservation;
                    let is_elsewhere = !self.links.is_here(&worker_id);
                    return Ok(Allocated { channel, lease, worker_id, engine_id, language, is_elsewhere });
                }
                Err(Unopened::Refused(Refusal::Rejected(error))) => {
                    lease.release().await;
                    return Err(error);
                }
                // Others had it meanwhile: it lives, and may have this one, too.
                Err(Unopened::Passed(why)) => {
                    observed.refused(&reservation.worker_id, &why);
                    lease.release().await;
                }
                Err(Unopened::Refused(refusal)) => {
                    observed.refused(&reservation.worker_id, &refusal);
                    // Before its slot is free again, so that nobody else is sent there for it.
                    self.pass_over(&reservation.worker_id, &refusal).await;
                    lease.release().await;
                    tried.push(reservation.worker_id);
                }
            }
        }
        Err(refusal::all_refused(self.settings.max_attempts))
    }

    /// The guard comes first: if this future is dropped, whatever the registry did for it is undone.
    async fn reserve(&self, wanted: &Wanted, tried: &[WorkerId]) -> Result<(Reservation, LeaseGuard), ReserveError> {
        let lease = self.keeper.claim();
        let request = ReserveRequest {
            lease: lease.id().clone(),
            wanted: wanted.clone(),
            ttl: self.settings.lease_ttl,
            exclude: tried.to_vec(),
        };
        match self.registry.reserve(&request).await {
            Ok(reservation) => {
                lease.hold(&reservation.worker_id);
                Ok((reservation, lease))
            }
            // It may have been reserved all the same: the guard releases it.
            Err(error @ ReserveError::Unavailable(_)) => Err(error),
            Err(error) => {
                lease.forget();
                Err(error)
            }
        }
    }

    async fn open(&self, reservation: &Reservation, offer: SessionOffer) -> Result<SessionChannel, Unopened> {
        let link = self.links.get(&reservation.worker_id, &reservation.address).map_err(Unopened::Refused)?;
        let opening = self.opens.begin(&reservation.worker_id);
        let deadline = self.settings.open_deadline;
        let Ok(answer) = timeout(deadline, link.open(offer)).await else {
            let late = Refusal::Unreachable(format!("no answer within {deadline:?}"));
            return Err(if opening.is_passed() { Unopened::Passed(late) } else { Unopened::Refused(late) });
        };
        if !matches!(answer, Err(Refusal::Unreachable(_))) {
            opening.is_answered();
        }
        answer.map_err(Unopened::Refused)
    }

    /// Tells the registry what the worker's refusal says about the worker.
    async fn pass_over(&self, worker: &WorkerId, refusal: &Refusal) {
        let told = match refusal {
            Refusal::Unreachable(_) => self.registry.suspect(worker, self.settings.cool_down).await,
            // Its own word: it will not take sessions again before it registers again.
            Refusal::Draining => self.registry.drain(worker).await,
            // It is well, only this session does not fit: its sessions are more than its leases for a while, when the registry
            // has forgotten one, or its gateway could not renew it.
            Refusal::Full | Refusal::Rejected(_) => Ok(()),
        };
        if let Err(unavailable) = told {
            warn!(worker_id = %worker, %refusal, %unavailable, "the registry was not told of a refusal");
        }
    }
}

/// Why a worker did not take a session.
enum Unopened {
    /// It says so, or it is not there.
    Refused(Refusal),
    /// It was late, and yet has answered another one in that time.
    Passed(Refusal),
}

fn offer(
    request: &SessionRequest,
    lease: &LeaseGuard,
    trace: TraceContext,
    continues: Option<Box<Continuation>>,
) -> SessionOffer {
    SessionOffer {
        session_id: request.session_id.clone(),
        request_id: request.request_id.clone(),
        tenant: request.tenant.clone(),
        lease: lease.id().clone(),
        config: request.config.clone(),
        trace,
        continues,
    }
}
