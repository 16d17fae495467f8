//! Which worker serves a session: registry of workers, allocation, leases, and the link to the worker.
//!
//! * A worker joins the [`Registry`] through [`Membership`], which keeps its heartbeat going.
//! * A gateway asks the [`SessionRouter`] for each session. It reserves one slot in one atomic step, opens the
//!   [`WorkerLink`](link::WorkerLink), and hands back the channel with a [`LeaseGuard`] that holds the slot.
//! * What is kept of a session for a client that comes back, at any gateway, is in the [`ResumeStore`].
//! * A slot is used exactly as long as its lease lives: until the guard is dropped, or one lease time after whoever held it
//!   died. Nothing counts up and down, so nothing can drift. And no live session depends on the registry: what it forgets is
//!   said again by those who know.

#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod link;

mod keeper;
mod lease;
mod links;
mod membership;
mod registry;
mod resume;
mod router;
mod wanted;
mod worker;

pub use lease::LeaseGuard;
pub use links::Links;
pub use membership::{Held, Membership};
pub use registry::{
    Heartbeat, InProcessRegistry, Lease, RedisRegistry, Registry, RegistryTimes, Reservation, ReserveError,
    ReserveRequest, Unavailable,
};
pub use resume::{
    Claim, Epoch, InProcessResumeStore, KeptFinals, Look, MOST_FINALS_BYTES, RedisResumeStore, ResumeStore, Save,
    Saved, SecretHash, Taken, Whole,
};
pub use router::{Allocated, RouterSettings, SessionRequest, SessionRouter};
pub use wanted::{Fit, Misfit, Wanted};
pub use worker::{Address, Health, WorkerRecord, WorkerStatus};
