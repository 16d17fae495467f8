//! `RedisBroker` against real servers.

mod conformance;
mod deaths;
mod faults;
mod keys;
mod machines;
mod support;
