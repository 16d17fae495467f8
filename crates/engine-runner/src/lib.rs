//! Gives an engine its tasks.
//!
//! An author writes [`Engine::process`](dalston_engine_sdk::batch::Engine::process) and nothing else; a [`Runner`] does
//! the rest, for as many tasks at once as the engine can take:
//!
//! ```text
//! claim a message ─▶ begin the task ─▶ inputs become local files ─▶ process, on a thread of its own
//!                                                                        │
//! acknowledge the message ◀─ commit ◀─ the output becomes artifacts ◀────┘
//!        all the while: renew the lease, tell the progress, ask whether to go on
//! ```
//!
//! ```no_run
//! # async fn example(
//! #     engine: std::sync::Arc<dyn dalston_engine_sdk::batch::Engine>, store: dalston_store::JobStore,
//! #     artifacts: dalston_store::Artifacts, broker: std::sync::Arc<dyn dalston_broker::Broker>,
//! #     metrics: std::sync::Arc<dalston_telemetry::Metrics>, shutdown: tokio_util::sync::CancellationToken,
//! # ) -> Result<(), dalston_engine_runner::RunnerError> {
//! use dalston_engine_runner::{Runner, RunnerSettings};
//!
//! let settings = RunnerSettings::new("/var/lib/dalston/scratch");
//! let tracers = dalston_telemetry::tracers().clone();
//! Runner::new(engine, store, artifacts, broker, tracers, metrics, settings).run(shutdown).await
//! # }
//! ```
//!
//! What holds, whatever is killed at whatever moment:
//!
//! * **A message is acknowledged when the store has no need of it any more**, and not before. Until then the broker, or
//!   in the end whoever reconciles it with the store, gives the task to somebody else.
//! * **A task may run more than once and is committed once.** The store counts its attempts; an attempt that is not the
//!   last commits nothing. Each writes its artifacts where no other does.
//! * **The store says whose a task is, not the broker.** Who lost the lease of a message goes on while the store counts
//!   no other attempt.
//! * **An engine can do what it wants**: panic, hang, write too much, ignore that it was cancelled. It costs its own
//!   task an attempt, and at worst a thread.

#![forbid(unsafe_code)]

mod attempt;
mod context;
mod delivery;
mod hindrance;
mod inputs;
mod keeping;
mod outputs;
mod runner;
mod scratch;
mod settings;
mod slots;
mod station;
mod stop;
mod thread;
mod under_way;
mod work;

pub use runner::Runner;
pub use scratch::RunnerError;
pub use settings::{OutputLimits, RunnerSettings};
