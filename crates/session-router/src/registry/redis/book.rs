//! What this gateway was granted, so that it can say it again to a server that forgot.

use std::{collections::HashMap, time::Duration};

use dalston_protocol::{LeaseId, WorkerId};
use dalston_redis::ScriptCall;

use super::{millis, reply::nonsense};
use crate::Unavailable;

/// One lease, as its holder knows it.
#[derive(Debug)]
pub(super) struct Granted {
    worker: WorkerId,
    ttl: Duration,
    /// The life of the server in which it was last seen there.
    life: String,
    /// It could not be renewed the last time, and may have expired meanwhile through no fault of its session.
    missed: bool,
}

impl Granted {
    pub(super) fn new(worker: WorkerId, ttl: Duration, life: String) -> Self {
        Self { worker, ttl, life, missed: false }
    }
}

/// The leases of one gateway. As many as it has sessions: each leaves it by release or by loss.
#[derive(Debug, Default)]
pub(super) struct Book(HashMap<LeaseId, Granted>);

impl Book {
    pub(super) fn granted(&mut self, lease: LeaseId, granted: Granted) {
        self.0.insert(lease, granted);
    }

    pub(super) fn released(&mut self, lease: &LeaseId) {
        self.0.remove(lease);
    }

    pub(super) fn missed(&mut self, leases: &[LeaseId]) {
        for lease in leases {
            if let Some(granted) = self.0.get_mut(lease) {
                granted.missed = true;
            }
        }
    }

    /// Puts what is known of a lease into a renewal. A lease that was granted to others is renewed if it is there.
    pub(super) fn add_to<'a>(&self, call: ScriptCall<'a>, lease: &LeaseId) -> ScriptCall<'a> {
        match self.0.get(lease) {
            Some(Granted { worker, ttl, life, missed }) => {
                call.arg(worker.as_str()).arg(millis(*ttl)).arg(life).arg(u8::from(*missed))
            }
            None => call.arg("").arg(0).arg("").arg(0),
        }
    }

    /// The leases that are lost.
    pub(super) fn renewed(&mut self, leases: &[LeaseId], answer: &[String]) -> Result<Vec<LeaseId>, Unavailable> {
        let (life, states) = answer.split_first().ok_or_else(|| nonsense("an empty renewal"))?;
        if states.len() != leases.len() {
            return Err(nonsense("a renewal of other leases"));
        }
        let mut lost = Vec::new();
        for (lease, state) in leases.iter().zip(states) {
            match state.as_str() {
                "1" => {
                    if let Some(granted) = self.0.get_mut(lease) {
                        granted.life.clone_from(life);
                        granted.missed = false;
                    }
                }
                // Its worker will bring it back; until then it stays a lease of the server's former life.
                "2" => {}
                _ => {
                    self.0.remove(lease);
                    lost.push(lease.clone());
                }
            }
        }
        Ok(lost)
    }
}
