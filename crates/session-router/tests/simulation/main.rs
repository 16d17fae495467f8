//! Three gateways and ten workers in one thread: everything of this crate but the kernel's sockets and Redis is the real thing.
//!
//! `turmoil` gives the network and the clock; partitions, held messages, slow links, crashes and rolling restarts come from a
//! seed, and so does every other coin that falls. So a failure can be repeated exactly:
//!
//! ```text
//! SIMULATION_SEED=17 cargo test -p dalston-session-router --test simulation      one seed, with its history
//! SIMULATION_SEEDS=500 cargo test -p dalston-session-router --test simulation    many
//! ```
//!
//! The registry is the one of one process, behind a small protocol of this test, so that gateways and workers are cut off from it
//! as they would be from Redis. [`history::Claim`] says what is checked. That the checker can fail is checked too: each
//! [`Sabotage`] breaks something on purpose and must be caught by the claim that it breaks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod gateway;
mod history;
mod plan;
mod registry;
mod stage;
mod wire;
mod worker;

use std::{
    process::{Command, ExitCode, Output},
    sync::Arc,
};

use self::history::Claim;

/// In which everything is tried, unless `SIMULATION_SEEDS` says otherwise.
const SEEDS: u64 = 3;
/// In which whatever is broken must show.
const SEEDS_OF_SABOTAGE: u64 = 8;

const SEED: &str = "SIMULATION_SEED";
const MODE: &str = "SIMULATION_MODE";

/// What a run is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing fails.
    Calm,
    /// Everything does.
    Storm,
    /// And something is broken on purpose.
    Broken(Sabotage),
}

/// What is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A reservation that reads first and writes later.
    ReadThenWrite,
    /// A keeper whose renewals reach nobody.
    NoRenewals,
    /// A registry that takes drained workers for ready ones.
    DeafToDraining,
    /// A gateway that waits for the registry for as long as it takes.
    Patience,
    /// A worker that mixes up its sessions.
    Crosstalk,
}

impl Sabotage {
    const ALL: [(Self, &str, Claim); 5] = [
        (Self::ReadThenWrite, "a_reservation_that_reads_then_writes_is_caught", Claim::NoSlotIsSoldTwice),
        (Self::NoRenewals, "a_keeper_that_never_renews_is_caught", Claim::SlotsInUseAreSessions),
        (Self::DeafToDraining, "a_registry_that_ignores_draining_is_caught", Claim::DrainingWorkersGetNothing),
        (Self::Patience, "a_gateway_that_waits_without_bound_is_caught", Claim::AllocationIsBounded),
        (Self::Crosstalk, "a_worker_that_mixes_up_sessions_is_caught", Claim::SessionsHearTheirOwn),
    ];
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Storm => "storm",
            Self::Broken(sabotage) => of(sabotage).1,
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = Sabotage::ALL.iter().map(|(sabotage, ..)| Self::Broken(*sabotage));
        all.chain([Self::Calm, Self::Storm]).find(|mode| mode.name() == name)
    }

    fn is_broken(self, sabotage: Sabotage) -> bool {
        self == Self::Broken(sabotage)
    }
}

fn of(sabotage: Sabotage) -> (Sabotage, &'static str, Claim) {
    Sabotage::ALL.into_iter().find(|(other, ..)| *other == sabotage).expect("all of them are listed")
}

fn main() -> ExitCode {
    let seed: Option<u64> = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
    let mode = std::env::var(MODE).ok().map(|name| Mode::named(&name).expect("a mode's name"));
    match seed {
        Some(seed) => one(seed, mode.unwrap_or(Mode::Storm)),
        None => all(),
    }
}

/// In this process: its randomness is the seed's from here on.
fn one(seed: u64, mode: Mode) -> ExitCode {
    let history = Arc::new(stage::play(seed, mode));
    print!("{}", history.report());
    if history.broken().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn all() -> ExitCode {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let seeds = std::env::var("SIMULATION_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    let mut failed = false;
    let mut claim = |name: &str, holds: &dyn Fn() -> Result<String, String>| {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        match holds() {
            Ok(seen) => println!("test {name} ... ok ({seen})"),
            Err(why) => {
                println!("test {name} ... FAILED\n{why}");
                failed = true;
            }
        }
    };
    claim("nothing_fails_where_nothing_is_at_fault", &|| every_seed(Mode::Calm, 1));
    claim("every_claim_holds_whatever_fails", &|| every_seed(Mode::Storm, seeds));
    claim("a_seed_is_enough_to_repeat_a_history", &|| repeats(1));
    for (sabotage, name, by) in Sabotage::ALL {
        claim(name, &|| is_caught(sabotage, by));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn every_seed(mode: Mode, seeds: u64) -> Result<String, String> {
    let mut last = String::new();
    for seed in 1..=seeds {
        let run = run(seed, mode);
        last = text(&run);
        if !run.status.success() {
            let command =
                format!("{SEED}={seed} {MODE}={} cargo test -p dalston-session-router --test simulation", mode.name());
            return Err(format!("{last}{}\nto repeat it:  {command}", String::from_utf8_lossy(&run.stderr)));
        }
    }
    Ok(format!("{seeds} seeds; the last: {}", last.lines().last().unwrap_or_default()))
}

fn repeats(seed: u64) -> Result<String, String> {
    let [one, two] = [run(seed, Mode::Storm), run(seed, Mode::Storm)].map(|run| text(&run));
    if one == two { Ok("twice the same".into()) } else { Err(format!("{one}and\n{two}")) }
}

fn is_caught(sabotage: Sabotage, by: Claim) -> Result<String, String> {
    let mut seen = String::new();
    for seed in 1..=SEEDS_OF_SABOTAGE {
        seen = text(&run(seed, Mode::Broken(sabotage)));
        if seen.contains(&format!("broken: {by:?}")) {
            return Ok(format!("by {by:?}, seed {seed}"));
        }
    }
    Err(format!("not seen in {SEEDS_OF_SABOTAGE} seeds; the last:\n{seen}"))
}

fn run(seed: u64, mode: Mode) -> Output {
    let this = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(this);
    child.env(SEED, seed.to_string()).env(MODE, mode.name()).output().expect("this program runs again")
}

fn text(run: &Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}
