//! What happens when, from a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::Mode;

pub const GATEWAYS: usize = 3;
pub const WORKERS: usize = 10;
pub const SLOTS: usize = 3;

/// Faults and new sessions end here; what is cut off, held or dead comes back.
pub const CALM: Duration = Duration::from_secs(40);
/// One lease and one silence later, and a bit, all must be well: here one more session per gateway begins.
pub const HEALED: Duration = Duration::from_secs(64);
/// Here slots in use are sessions.
pub const LOOK: Duration = Duration::from_secs(70);
/// The last sessions end.
pub const HANG_UP: Duration = Duration::from_secs(72);
/// Nothing is left.
pub const END: Duration = Duration::from_secs(78);

/// A session that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub at: Duration,
    pub until: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    Registry,
    Gateway(usize),
    Worker(usize),
}

impl Host {
    pub fn all() -> impl Iterator<Item = Self> {
        let gateways = (0..GATEWAYS).map(Self::Gateway);
        [Self::Registry].into_iter().chain(gateways).chain((0..WORKERS).map(Self::Worker))
    }

    pub fn name(self) -> String {
        match self {
            Self::Registry => "registry".into(),
            Self::Gateway(number) => format!("gateway-{number}"),
            Self::Worker(number) => format!("worker-{number}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing passes between two, in either direction; what is under way is lost, and connections with it.
    Partition(Host, Host),
    /// Nothing passes in one direction.
    OneWay(Host, Host),
    Repair(Host, Host),
    /// What is said waits, as behind TCP's retries, and arrives at once in the end.
    Hold(Host, Host),
    Release(Host, Host),
    Slow(Host, Host, Duration),
    /// Nothing passes between one and all others.
    Isolate(Host),
    Rejoin(Host),
    /// The process is killed: its kernel closes its connections.
    Kill(Host),
    /// The machine is gone, and nobody is told.
    PowerOff(Host),
    Start(Host),
    /// A rolling restart begins.
    Drain(usize),
}

#[derive(Debug)]
pub struct Plan {
    pub arrivals: Vec<Vec<Arrival>>,
    /// In order of time.
    pub faults: Vec<(Duration, Fault)>,
}

impl Plan {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut chance = Chance(StdRng::seed_from_u64(seed));
        let arrivals = (0..GATEWAYS).map(|_| chance.arrivals()).collect();
        let mut faults = Vec::new();
        let mut at = Duration::from_secs(4);
        while mode != Mode::Calm && at < CALM {
            let last = at + chance.up_to(Duration::from_secs(20));
            let (first, second) = chance.fault();
            faults.push((at, first));
            faults.extend(second.map(|second| (last.min(CALM), second)));
            at += chance.exponential(0.8);
        }
        faults.sort_by_key(|(at, _)| *at);
        Self { arrivals, faults }
    }
}

struct Chance(StdRng);

impl Chance {
    fn exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.0.random::<f64>()).ln())
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        // Often short, now and then long.
        most.mul_f64(self.0.random::<f64>().powi(2)) + Duration::from_millis(100)
    }

    /// An open loop: who comes does not wait for who is there. About as many as there are slots.
    fn arrivals(&mut self) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let mut at = Duration::from_secs(2);
        while at < CALM {
            let stays = self.0.random_bool(0.06);
            let until = if stays { HANG_UP } else { at + self.up_to(Duration::from_secs(20)) };
            arrivals.push(Arrival { at, until });
            at += self.exponential(0.8);
        }
        arrivals.push(Arrival { at: HEALED, until: HEALED + Duration::from_secs(3) });
        arrivals
    }

    fn gateway(&mut self) -> Host {
        Host::Gateway(self.0.random_range(0..GATEWAYS))
    }

    fn worker(&mut self) -> Host {
        Host::Worker(self.0.random_range(0..WORKERS))
    }

    fn pair(&mut self) -> (Host, Host) {
        match self.0.random_range(0..4) {
            0 => (self.gateway(), Host::Registry),
            1 => (self.worker(), Host::Registry),
            _ => (self.gateway(), self.worker()),
        }
    }

    fn anybody(&mut self) -> Host {
        match self.0.random_range(0..8) {
            0 => Host::Registry,
            1..4 => self.gateway(),
            _ => self.worker(),
        }
    }

    fn mortal(&mut self) -> Host {
        if self.0.random_bool(0.25) { self.gateway() } else { self.worker() }
    }

    /// A fault, and what ends it.
    fn fault(&mut self) -> (Fault, Option<Fault>) {
        let (a, b) = self.pair();
        match self.0.random_range(0..100) {
            0..20 => (Fault::Partition(a, b), Some(Fault::Repair(a, b))),
            20..30 => {
                let (from, to) = if self.0.random_bool(0.5) { (a, b) } else { (b, a) };
                (Fault::OneWay(from, to), Some(Fault::Repair(a, b)))
            }
            30..50 => (Fault::Hold(a, b), Some(Fault::Release(a, b))),
            50..60 => {
                let slow = self.up_to(Duration::from_millis(1_500));
                (Fault::Slow(a, b, slow), Some(Fault::Slow(a, b, Duration::from_millis(20))))
            }
            60..70 => {
                let host = self.anybody();
                (Fault::Isolate(host), Some(Fault::Rejoin(host)))
            }
            70..80 => {
                let host = self.mortal();
                (Fault::Kill(host), Some(Fault::Start(host)))
            }
            80..90 => {
                let host = self.mortal();
                (Fault::PowerOff(host), Some(Fault::Start(host)))
            }
            _ => (Fault::Drain(self.0.random_range(0..WORKERS)), None),
        }
    }
}
