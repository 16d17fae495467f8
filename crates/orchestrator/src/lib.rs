//! Jobs: planned, scheduled, watched and assembled.
//!
//! The store is the truth; everything here can be forgotten and found again. A *look* at a job ([`decision::decide`]) is a
//! pure function of its records, and all that happens to a job happens through looks: when it was made, when a task of it
//! ended, when somebody cancelled it, and now and then, in case a message was lost. So several orchestrators may run at
//! once; the version of a job decides whose look counts.
//!
//! * [`pipeline`]: which stages a job goes through. Adding one is an engine and a line there.
//! * [`decision`]: what is to be done about a job now.
//! * [`assembly`]: the transcript out of the results.
//! * Webhooks: whoever wants to know of a job's end is told, at least once.
//! * [`Orchestrator`]: the tasks that read and write: the outbox's relay, the looks, the reconciler, the sweep.

#![forbid(unsafe_code)]

pub mod assembly;
pub mod decision;
mod engines;
mod look;
mod orchestrator;
pub mod pipeline;
mod relay;
mod upkeep;
mod webhooks;

pub use engines::{ENGINES_KNOWN, read_engines};
pub use orchestrator::{Orchestrator, OrchestratorError, Settings};
pub use webhooks::WebhookSettings;
