//! Which faults, when: all of it from a seed.
//!
//! Three lanes run side by side: one ends and freezes processes, one takes away what they share, one is bad clients. So up to
//! three faults are there at once, and never two that undo each other.

use std::{fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Where clients connect.
    Gateway,
    /// Live sessions.
    Realtime,
    /// Jobs, seen through.
    Orchestrator,
    /// The stages of jobs.
    Engine,
}

impl Role {
    /// As `--role` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Realtime => "realtime",
            Self::Orchestrator => "orchestrator",
            Self::Engine => "engine",
        }
    }

    /// How many of it there are.
    pub fn count(self) -> usize {
        match self {
            Self::Gateway | Self::Orchestrator => 2,
            Self::Realtime | Self::Engine => 3,
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Orchestrator, Self::Engine, Self::Realtime, Self::Gateway];
}

/// To a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToProcess {
    /// `kill -9`, and a new one after that time.
    Kill,
    /// SIGTERM, and a new one when it has ended.
    Restart,
    /// SIGSTOP, and SIGCONT after that time.
    Freeze,
    /// Its wire to Redis ends, and so do new ones.
    CutFromRedis,
    /// Its wire to Redis swallows everything.
    HoldRedis,
}

/// To what processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToShared {
    /// Redis stands still.
    RedisFrozen,
    /// Redis is killed, and started again on its append-only file.
    RedisKilled,
    /// Redis is killed, and started again with nothing.
    RedisEmptied,
    /// PostgreSQL crashes, and is started again.
    PostgresKilled,
    /// The S3 server stands still.
    StorageFrozen,
    /// The receiver of webhooks answers 500.
    WebhookFails,
    /// The receiver of webhooks says nothing.
    WebhookHangs,
    /// The collector of traces is gone.
    CollectorGone,
}

/// By a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ByClient {
    /// Its machine loses power in the middle of a session: no FIN.
    Vanishes,
    /// Its connection breaks in the middle of a session.
    Breaks,
    /// It speaks and never reads.
    Deaf,
    /// It sends all of its audio at once.
    Floods,
    /// It opens connections and sends half a request.
    HalfOpen,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// To the process of this role and number.
    Process(ToProcess, Role, usize),
    /// To what they share.
    Shared(ToShared),
    /// By a client.
    Client(ByClient),
}

impl Fault {
    /// Without the number of the process: what a table counts together.
    pub fn kind(&self) -> String {
        match self {
            Self::Process(what, role, _) => format!("{what:?} {}", role.name()),
            Self::Shared(what) => format!("{what:?}"),
            Self::Client(what) => format!("client {what:?}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(_, _, number) => write!(f, "{} {number}", self.kind()),
            _ => f.write_str(&self.kind()),
        }
    }
}

/// A fault at its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Since the faults began.
    pub at: Duration,
    /// Until it is undone.
    pub lasts: Duration,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7.1} s  {:4.1} s  {}", self.at.as_secs_f64(), self.lasts.as_secs_f64(), self.fault)
    }
}

/// The faults of each lane, in the order of their times. No two of one lane overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// To processes.
    pub processes: Vec<Planned>,
    /// To what they share.
    pub shared: Vec<Planned>,
    /// By clients.
    pub clients: Vec<Planned>,
}

impl Schedule {
    /// Of a seed, for a run of so long.
    pub fn new(seed: u64, length: Duration) -> Self {
        let lane = |number: u64, mut faults: Vec<(Fault, Range)>, pause: Range| {
            let mut chance = StdRng::seed_from_u64(seed.wrapping_mul(3).wrapping_add(number));
            let (mut planned, mut at) = (Vec::new(), pause.within(&mut chance));
            loop {
                // Every kind before any comes again, in an order of the seed.
                faults.shuffle(&mut chance);
                for (fault, lasts) in &faults {
                    let (fault, lasts) = (some(*fault, &mut chance), lasts.within(&mut chance));
                    if at + lasts > length {
                        return planned;
                    }
                    planned.push(Planned { at, lasts, fault });
                    at += lasts + pause.within(&mut chance);
                }
            }
        };
        Self {
            processes: lane(0, to_processes(), Range(0.5, 2.5)),
            shared: lane(1, to_shared(), Range(2.0, 5.0)),
            clients: lane(2, by_clients(), Range(0.3, 1.5)),
        }
    }

    /// All of it, in the order of time.
    pub fn all(&self) -> Vec<&Planned> {
        let mut all: Vec<&Planned> = self.processes.iter().chain(&self.shared).chain(&self.clients).collect();
        all.sort_by_key(|planned| planned.at);
        all
    }
}

/// Seconds, from and to.
#[derive(Debug, Clone, Copy)]
struct Range(f64, f64);

impl Range {
    fn within(self, chance: &mut StdRng) -> Duration {
        // To the millisecond, so that a printed schedule is the schedule.
        Duration::from_millis((1_000.0 * chance.random_range(self.0..=self.1)) as u64)
    }
}

/// Some process of the role.
fn some(fault: Fault, chance: &mut StdRng) -> Fault {
    match fault {
        Fault::Process(what, role, _) => Fault::Process(what, role, chance.random_range(0..role.count())),
        other => other,
    }
}

fn to_processes() -> Vec<(Fault, Range)> {
    let mut faults = Vec::new();
    for role in Role::ALL {
        faults.push((Fault::Process(ToProcess::Kill, role, 0), Range(0.2, 3.0)));
        faults.push((Fault::Process(ToProcess::Freeze, role, 0), Range(0.5, 6.0)));
        faults.push((Fault::Process(ToProcess::Restart, role, 0), Range(0.0, 0.0)));
    }
    // Live sessions are what is most easily lost.
    faults.push((Fault::Process(ToProcess::Kill, Role::Realtime, 0), Range(0.2, 3.0)));
    faults.push((Fault::Process(ToProcess::CutFromRedis, Role::Realtime, 0), Range(4.0, 12.0)));
    faults.push((Fault::Process(ToProcess::CutFromRedis, Role::Gateway, 0), Range(4.0, 12.0)));
    faults.push((Fault::Process(ToProcess::HoldRedis, Role::Realtime, 0), Range(4.0, 12.0)));
    faults.push((Fault::Process(ToProcess::HoldRedis, Role::Engine, 0), Range(2.0, 8.0)));
    faults
}

fn to_shared() -> Vec<(Fault, Range)> {
    let shared = |what, range| (Fault::Shared(what), range);
    vec![
        shared(ToShared::RedisFrozen, Range(1.0, 1.0)),
        shared(ToShared::RedisFrozen, Range(3.0, 3.0)),
        shared(ToShared::RedisFrozen, Range(10.0, 10.0)),
        shared(ToShared::RedisKilled, Range(1.0, 3.0)),
        shared(ToShared::RedisEmptied, Range(0.2, 3.0)),
        shared(ToShared::PostgresKilled, Range(1.0, 4.0)),
        shared(ToShared::StorageFrozen, Range(1.0, 4.0)),
        shared(ToShared::WebhookFails, Range(3.0, 6.0)),
        shared(ToShared::WebhookHangs, Range(3.0, 6.0)),
        shared(ToShared::CollectorGone, Range(2.0, 6.0)),
    ]
}

fn by_clients() -> Vec<(Fault, Range)> {
    let client = |what, range| (Fault::Client(what), range);
    vec![
        client(ByClient::Vanishes, Range(1.0, 4.0)),
        client(ByClient::Breaks, Range(1.0, 4.0)),
        client(ByClient::Deaf, Range(3.0, 6.0)),
        client(ByClient::Floods, Range(1.0, 2.0)),
        client(ByClient::HalfOpen, Range(1.0, 3.0)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(600);

    #[test]
    fn a_seed_is_a_schedule_and_another_seed_another_one() {
        assert_eq!(Schedule::new(1, LENGTH), Schedule::new(1, LENGTH));
        assert_ne!(Schedule::new(1, LENGTH), Schedule::new(2, LENGTH));
    }

    #[test]
    fn a_long_run_has_every_kind_of_fault_and_no_lane_overlaps() {
        let schedule = Schedule::new(1, LENGTH);
        let kinds: BTreeSet<String> = schedule.all().iter().map(|planned| planned.fault.kind()).collect();
        let every = to_processes().into_iter().chain(to_shared()).chain(by_clients());
        assert_eq!(kinds, every.map(|(fault, _)| fault.kind()).collect());
        for lane in [&schedule.processes, &schedule.shared, &schedule.clients] {
            assert!(lane.windows(2).all(|pair| pair[0].at + pair[0].lasts <= pair[1].at));
            assert!(lane.iter().all(|planned| planned.at + planned.lasts <= LENGTH));
        }
    }
}
