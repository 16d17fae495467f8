//! The realtime worker: session loop, endpointing, lag.
//!
//! A [`Worker`] takes sessions at a [`WorkerPort`] and serves each on a task of its own, with a recogniser task per channel
//! that has spoken. It knows nothing of HTTP: audio bytes and messages come in, events go out, and a close ends it.

#![forbid(unsafe_code)]

mod backlog;
mod config;
mod ear;
mod endpointing;
mod inference;
mod lag;
mod session;
mod worker;

#[allow(unused_imports, reason = "named in the docs above")]
use dalston_session_router::link::WorkerPort;

pub use config::RealtimeConfig;
pub use lag::LagLimits;
use worker::Shared;
pub use worker::Worker;
