//! Everything fails, from a seed, over a whole cluster of real processes, while live sessions and jobs flow; and whether what
//! came of it is what is promised.
//!
//! * [`Schedule`] says which faults, when. The same seed is the same schedule; what happens under it is up to the machine.
//! * [`History`] is written by clients, the receiver of webhooks and those who end processes: what each of them saw.
//! * [`check`] is a pure function of the history. Its own tests break each of its rules on purpose.

mod checker;
mod clients;
mod history;
pub mod measure;
mod report;
mod run;
mod schedule;
mod town;
mod work;

pub use self::{
    checker::{Rule, Violation, World, check},
    history::{End, Entry, History, What},
    report::{Report, Row},
    run::{Options, run},
    schedule::{ByClient, Fault, Planned, Role, Schedule, ToProcess, ToShared},
};
