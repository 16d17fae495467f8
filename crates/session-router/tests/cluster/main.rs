//! Gateways and workers on a real redis-server, with real sockets between them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod faults;
mod sharing;
mod stage;
mod storm;
