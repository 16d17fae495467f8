//! Runs a native engine in a child process that forks a stream after loading its model.
//!
//! Native code crashes, exits and hangs. Here it does so in a process of its own:
//!
//! ```text
//! server ──control socket──▶ host: loads the model once ──fork──▶ stream: one utterance of one session
//!    └───────────────────────── a socket per stream ────────────────────▶┘
//! ```
//!
//! A fork takes a few milliseconds and shares the model's memory. [`HostedEngine`] is the server's side, a
//! [`StreamingEngine`](dalston_engine_sdk::StreamingEngine) like any other; [`run`] is the child's side, which the binary calls for
//! its `engine-host` command with a [`NativeModel`](dalston_engine_sdk::NativeModel) to load.
//!
//! What is promised:
//! * A stream that dies, hangs or talks nonsense is replaced, and its utterance is decoded again from the start; a host that
//!   does is restarted, and so are its streams. Only when that fails too does the utterance end with an error.
//! * The number of streams is bounded; waiting for one is fair and bounded in time.
//! * No process outlives the server, however it ends.
//! * An error that the engine itself reports, a panic included, ends the utterance with that reason at once.

mod child;
mod control;
mod parent;
mod wire;

pub use child::run;
pub use parent::{HostConfig, HostedEngine, Limits, PoolStats};
