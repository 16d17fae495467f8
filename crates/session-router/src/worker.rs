//! A worker as the registry knows it.

use std::time::Duration;

use dalston_engine_sdk::Capabilities;
use dalston_protocol::WorkerId;
use serde::{Deserialize, Serialize, Serializer};

/// What a worker says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// One per process and life: a worker that starts again is another worker.
    pub worker_id: WorkerId,
    /// How a gateway reaches it.
    pub address: Address,
    /// Sessions it takes at once.
    pub capacity: usize,
    /// What it recognises with, preferred first.
    pub engines: Vec<Capabilities>,
}

/// How a gateway reaches a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// Through channels of this process.
    InProcess,
    /// At this URL.
    Url(String),
}

/// A worker as it stands now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Which.
    pub worker_id: WorkerId,
    /// Whether it gets sessions.
    pub health: Health,
    /// Slots it has.
    pub capacity: usize,
    /// Slots under a live lease. Above `capacity` only after the worker registered again with fewer.
    pub used: usize,
    /// What it recognises with.
    pub engines: Vec<Capabilities>,
    /// Time since its last heartbeat, shown in seconds.
    #[serde(rename = "heartbeat_age_seconds", serialize_with = "as_seconds")]
    pub heartbeat_age: Duration,
}

impl WorkerStatus {
    /// Slots that a session could get now.
    pub fn free(&self) -> usize {
        if self.health == Health::Ready { self.capacity.saturating_sub(self.used) } else { 0 }
    }
}

/// Whether a worker gets sessions, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It does.
    Ready,
    /// It refused or did not answer a moment ago. Its open sessions go on.
    Suspect,
    /// It finishes what it has.
    Draining,
    /// It missed its heartbeats. It is dead, or has lost its way to the registry; its gateways know which. It is forgotten before
    /// long.
    Lost,
}

fn as_seconds<S: Serializer>(age: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(age.as_secs_f64())
}
