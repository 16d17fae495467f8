//! Load generator and measuring tools for a running server: see `README.md` beside this crate.
//!
//! The contract: when everything is due is decided before a run ([`schedule`]) and never moved, so a server that slows its
//! clients does not look faster; every latency is counted from that schedule, in histograms of constant size ([`latency`]); audio
//! is cut once and shared ([`track`]); each session is one task ([`session`]) and is held to the protocol by a pure
//! [`witness`]; a run ends in figures and claims ([`report`]).

#![forbid(unsafe_code)]

pub mod baseline;
pub mod cli;
pub mod command;
pub mod crowd;
mod descriptors;
pub mod duration;
pub mod fault;
pub mod flood;
pub mod latency;
pub mod load;
pub mod report;
pub mod schedule;
pub mod server;
pub mod session;
pub mod signal;
pub mod stage;
pub mod tally;
pub mod track;
pub mod wer;
pub mod witness;
pub mod words;
