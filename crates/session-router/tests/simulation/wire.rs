//! What is said to the registry of the simulation: a line of JSON each way, one exchange per connection.

use std::time::Duration;

use dalston_protocol::{LeaseId, WorkerId};
use dalston_session_router::{Address, Reservation, ReserveError, ReserveRequest, Wanted, WorkerRecord};
use serde::{Deserialize, Serialize};

pub const PORT: u16 = 6379;

#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    Restore(WorkerRecord, Vec<LeaseId>),
    Heartbeat(WorkerId),
    Deregister(WorkerId),
    Drain(WorkerId),
    Suspect(WorkerId, Duration),
    Reserve { lease: LeaseId, language: String, model: Option<String>, ttl: Duration, exclude: Vec<WorkerId> },
    Renew(Vec<(LeaseId, WorkerId, Duration)>),
    Release(LeaseId),
}

impl From<&ReserveRequest> for Question {
    fn from(request: &ReserveRequest) -> Self {
        let ReserveRequest { lease, wanted: Wanted { language, model }, ttl, exclude } = request.clone();
        Self::Reserve { lease, language, model, ttl, exclude }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Done,
    /// Whether the heartbeat was.
    Counted(bool),
    Reserved {
        worker_id: WorkerId,
        address: Address,
        engine_id: String,
        language: String,
        candidates: usize,
    },
    NoSuchModel(Vec<String>),
    NoSuchLanguage(Vec<String>),
    NoCapacity(Duration),
    Draining,
}

impl From<Result<Reservation, ReserveError>> for Answer {
    fn from(result: Result<Reservation, ReserveError>) -> Self {
        match result {
            Ok(Reservation { worker_id, address, engine_id, language, candidates }) => {
                Self::Reserved { worker_id, address, engine_id, language, candidates }
            }
            Err(ReserveError::NoSuchModel { available }) => Self::NoSuchModel(available),
            Err(ReserveError::NoSuchLanguage { available }) => Self::NoSuchLanguage(available),
            Err(ReserveError::NoCapacity { retry_after }) => Self::NoCapacity(retry_after),
            Err(ReserveError::Draining) => Self::Draining,
            Err(ReserveError::Unavailable(_)) => unreachable!("in one process it is always there"),
        }
    }
}

impl Answer {
    /// `None` for an answer to another question.
    pub fn into_reservation(self) -> Option<Result<Reservation, ReserveError>> {
        Some(match self {
            Self::Reserved { worker_id, address, engine_id, language, candidates } => {
                Ok(Reservation { worker_id, address, engine_id, language, candidates })
            }
            Self::NoSuchModel(available) => Err(ReserveError::NoSuchModel { available }),
            Self::NoSuchLanguage(available) => Err(ReserveError::NoSuchLanguage { available }),
            Self::NoCapacity(retry_after) => Err(ReserveError::NoCapacity { retry_after }),
            Self::Draining => Err(ReserveError::Draining),
            Self::Done | Self::Counted(_) => return None,
        })
    }
}
