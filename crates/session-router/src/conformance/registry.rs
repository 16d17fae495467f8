//! What every [`Registry`] must hold to.

mod leases;
mod selection;
mod workers;

use std::{sync::Arc, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use futures_util::future::BoxFuture;

use super::{engine, worker};
use crate::{
    Heartbeat, Lease, Registry, RegistryTimes, Reservation, ReserveError, ReserveRequest, Wanted, WorkerStatus,
};

pub use leases::*;
pub use selection::*;
pub use workers::*;

/// An empty registry and a way to let time pass on its clock: paused time, or real time with short [`RegistryTimes`].
pub struct Subject {
    /// Empty at the start.
    pub registry: Arc<dyn Registry>,
    /// What it was made with. `forget_after` is at least four times `worker_ttl`.
    pub times: RegistryTimes,
    /// Resolves when the time has passed for the registry, and little more.
    pub pass: Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// One test per claim. Takes the test attribute, and a path to an `async fn() -> Subject`.
///
/// ```text
/// registry_conformance!(tokio::test(start_paused = true), subject);
/// ```
#[macro_export]
macro_rules! registry_conformance {
    ($test:meta, $subject:path) => {
        $crate::registry_conformance! { @each $test, $subject:
            the_engine_fits_model_and_language
            an_unknown_model_is_answered_with_the_known_ones
            an_unknown_language_is_answered_with_the_known_ones
            without_any_worker_there_is_no_capacity_rather_than_no_model
            the_smallest_share_in_use_is_chosen
            equal_workers_share_evenly
            short_sessions_take_turns
            an_excluded_worker_is_not_chosen
            concurrent_wishes_never_exceed_the_capacity
            a_released_slot_is_free_at_once
            releasing_twice_or_nothing_is_harmless
            a_lease_has_one_slot
            a_lease_that_is_not_renewed_expires
            a_renewed_lease_lives_on
            a_lease_that_is_gone_is_taken_again_while_there_is_room
            a_lease_whose_slot_was_sold_meanwhile_waits_until_there_is_room
            an_abandoned_wish_can_be_released_by_its_name
            a_silent_worker_gets_no_sessions_and_keeps_those_it_has
            a_late_heartbeat_revives_the_worker_with_its_leases
            a_worker_that_comes_back_after_it_was_forgotten_has_its_leases_again
            a_revived_worker_can_be_lost_again
            a_lost_worker_is_remembered_and_then_forgotten
            a_draining_worker_keeps_its_sessions_and_gets_no_more
            a_suspect_is_out_at_once_and_keeps_its_sessions
            a_suspect_is_back_with_its_first_heartbeat_after_the_cool_down
            a_second_suspicion_never_shortens_the_first
            deregistering_ends_the_leases
            registering_again_keeps_the_leases
            a_worker_that_was_forgotten_brings_its_leases_back
            what_a_worker_brings_back_ends_when_nobody_renews_it
        }
    };
    (@each $test:meta, $subject:path: $($claim:ident)*) => {
        $(
            #[$test]
            async fn $claim() {
                $crate::conformance::registry::$claim($subject().await).await;
            }
        )*
    };
}

impl Subject {
    /// Registers a worker with one engine, `echo` of model `echo-en`, that has English only.
    async fn add(&self, capacity: usize) -> WorkerId {
        let record = worker(capacity, vec![engine("echo", "echo-en", &["en"])]);
        let id = record.worker_id.clone();
        self.registry.register(record).await.expect("the registry answers");
        id
    }

    async fn reserve(&self) -> Result<(Lease, Reservation), ReserveError> {
        self.reserve_with(|_| ()).await
    }

    /// Reserves a slot for English after `change` was made to the wish. Leases live for half a worker's time.
    async fn reserve_with(
        &self,
        change: impl FnOnce(&mut ReserveRequest),
    ) -> Result<(Lease, Reservation), ReserveError> {
        let wanted = Wanted { language: "en".into(), model: None };
        let mut request = ReserveRequest { lease: LeaseId::generate(), wanted, ttl: self.lease_ttl(), exclude: vec![] };
        change(&mut request);
        let reservation = self.registry.reserve(&request).await?;
        let ReserveRequest { lease: id, ttl, .. } = request;
        Ok((Lease { id, worker_id: reservation.worker_id.clone(), ttl }, reservation))
    }

    async fn want(&self, language: &str, model: Option<&str>) -> Result<Reservation, ReserveError> {
        let wanted = Wanted { language: language.into(), model: model.map(Into::into) };
        self.reserve_with(|request| request.wanted = wanted).await.map(|(_, reservation)| reservation)
    }

    fn lease_ttl(&self) -> Duration {
        self.times.worker_ttl / 2
    }

    async fn release(&self, lease: &Lease) {
        self.registry.release(&lease.id).await.expect("the registry answers");
    }

    async fn renew(&self, leases: &[&Lease]) {
        let leases: Vec<Lease> = leases.iter().copied().cloned().collect();
        self.registry.renew(&leases).await.expect("the registry answers");
    }

    async fn heartbeat(&self, worker: &WorkerId) -> Heartbeat {
        self.registry.heartbeat(worker).await.expect("the registry answers")
    }

    async fn suspect(&self, worker: &WorkerId, cool_down: Duration) {
        self.registry.suspect(worker, cool_down).await.expect("the registry answers");
    }

    async fn status(&self, worker: &WorkerId) -> Option<WorkerStatus> {
        let workers = self.registry.workers().await.expect("the registry answers");
        workers.into_iter().find(|status| status.worker_id == *worker)
    }

    async fn used(&self, worker: &WorkerId) -> usize {
        self.status(worker).await.expect("the worker is known").used
    }

    async fn pass(&self, time: Duration) {
        (self.pass)(time).await;
    }
}
