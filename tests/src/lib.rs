//! Support for whole-system tests: start the real binary, receive its spans, watch its log.

pub mod cluster;
#[path = "../../crates/telemetry/tests/support/mod.rs"]
#[allow(missing_docs, clippy::unwrap_used, reason = "a test's support, shared with the telemetry crate's own")]
pub mod collector;
pub mod http;
pub mod jobs;
pub mod log;
pub mod nemesis;
pub mod receiver;
pub mod relay;
pub mod server;
pub mod session;
pub mod speech;
pub mod trace;
pub mod words;

pub use cluster::Cluster;
pub use collector::Collector;
pub use server::Server;
