//! The server's side: a supervised host, a bounded pool of streams, recognisers that survive both.

mod config;
mod engine;
mod patience;
mod pool;
mod process;
mod recognizer;
mod stream;
mod supervisor;

pub use config::{HostConfig, Limits};
pub use engine::HostedEngine;
pub use pool::PoolStats;
