//! What the scripts answer, read with suspicion: another release of the product may have written it.

use std::{sync::Arc, time::Duration};

use dalston_engine_sdk::Capabilities;
use dalston_protocol::WorkerId;

use crate::{Address, Health, RegistryTimes, Unavailable, WorkerStatus};

/// The answer to a wish.
pub(super) enum Reserved {
    /// There are kinds of workers that were not asked about.
    Unknown(Vec<(String, Arc<[Capabilities]>)>),
    Granted {
        worker_id: WorkerId,
        address: Address,
        kind: String,
        candidates: usize,
    },
    Refused(Refused),
}

/// What the server says of the workers that fit, when none was free.
pub(super) struct Refused {
    is_ready: bool,
    suspect_for: Option<Duration>,
    is_lost: bool,
    /// Of all workers.
    pub(super) kinds: Vec<String>,
}

impl Refused {
    /// When one may take a session; `None` when never.
    pub(super) fn retry_after(&self, times: &RegistryTimes) -> Option<Duration> {
        let ready = self.is_ready.then_some(RegistryTimes::BUSY_RETRY);
        let suspect = self.suspect_for.map(|wait| wait.max(RegistryTimes::MIN_RETRY));
        let lost = self.is_lost.then(|| times.retry_lost());
        [ready, suspect, lost].into_iter().flatten().min()
    }
}

pub(super) fn reserved(answer: Vec<String>) -> Result<Reserved, Unavailable> {
    let mut parts = answer.into_iter();
    match parts.next().as_deref() {
        Some("unknown") => {
            let mut kinds = Vec::new();
            while let (Some(digest), Some(json)) = (parts.next(), parts.next()) {
                kinds.push((digest, engines(&json)));
            }
            Ok(Reserved::Unknown(kinds))
        }
        Some("granted") => {
            let mut next = || parts.next().ok_or_else(|| nonsense("half a grant"));
            Ok(Reserved::Granted {
                worker_id: worker_id(&next()?)?,
                address: serde_json::from_str(&next()?).map_err(|_| nonsense("a worker's address"))?,
                kind: next()?,
                candidates: number(&next()?)?,
            })
        }
        Some("refused") => {
            let mut next = || parts.next().ok_or_else(|| nonsense("half a refusal"));
            let (is_ready, suspect_ms, is_lost) = (next()? == "1", next()?, next()? == "1");
            let suspect_for = suspect_ms.parse().ok().map(Duration::from_millis);
            Ok(Reserved::Refused(Refused { is_ready, suspect_for, is_lost, kinds: parts.collect() }))
        }
        _ => Err(nonsense("the answer to a wish")),
    }
}

pub(super) fn workers(answer: Vec<String>) -> Result<Vec<WorkerStatus>, Unavailable> {
    let mut parts = answer.into_iter();
    let mut next = || parts.next().ok_or_else(|| nonsense("half a list of workers"));
    let mut kinds = std::collections::HashMap::new();
    for _ in 0..number::<usize>(&next()?)? {
        kinds.insert(next()?, engines(&next()?));
    }
    let mut workers = Vec::new();
    while let Ok(id) = next() {
        workers.push(WorkerStatus {
            worker_id: worker_id(&id)?,
            health: match next()?.as_str() {
                "ready" => Health::Ready,
                "suspect" => Health::Suspect,
                "draining" => Health::Draining,
                _ => Health::Lost,
            },
            capacity: number(&next()?)?,
            used: number(&next()?)?,
            heartbeat_age: Duration::from_millis(number(&next()?)?),
            engines: kinds.get(&next()?).map_or_else(Vec::new, |engines| engines.to_vec()),
        });
    }
    workers.sort_by(|one, other| one.worker_id.cmp(&other.worker_id));
    Ok(workers)
}

pub(super) fn nonsense(what: &str) -> Unavailable {
    Unavailable(format!("{what} makes no sense here; is another release of the product at work?"))
}

/// Engines of a worker that this release cannot read are none that it can use.
fn engines(json: &str) -> Arc<[Capabilities]> {
    serde_json::from_str::<Vec<Capabilities>>(json).unwrap_or_default().into()
}

fn worker_id(text: &str) -> Result<WorkerId, Unavailable> {
    text.parse().map_err(|_| nonsense("a worker's id"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Unavailable> {
    text.parse().map_err(|_| nonsense("a number"))
}
