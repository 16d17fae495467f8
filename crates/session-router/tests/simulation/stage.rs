//! The hosts, their network, and what befalls them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use mad_turmoil::{rand::set_rng, time::SimClocksGuard};
use rand::{SeedableRng, rngs::StdRng};
use tokio::sync::Notify;
use turmoil::{Builder, Sim};

use crate::{
    Mode, gateway,
    history::History,
    plan::{CALM, END, Fault, Host, LOOK, Plan, WORKERS},
    registry, worker,
};

const TICK: Duration = Duration::from_millis(10);
const LATENCY: Duration = Duration::from_millis(20);
/// How often a worker that has drained is started anew.
const RESTART: Duration = Duration::from_secs(5);

/// One history, the same each time.
pub fn play(seed: u64, mode: Mode) -> History {
    set_rng(StdRng::seed_from_u64(seed));
    let _clocks = SimClocksGuard::init();
    let history = Arc::new(History::new(mode));
    Stage::new(seed, mode, &history).play();
    Arc::into_inner(history).expect("the hosts are gone")
}

struct Stage {
    sim: Sim<'static>,
    plan: Plan,
    history: Arc<History>,
    drains: Vec<Arc<Notify>>,
    dead: BTreeSet<Host>,
}

impl Stage {
    fn new(seed: u64, mode: Mode, history: &Arc<History>) -> Self {
        let plan = Plan::new(seed, mode);
        let mut sim = Builder::new()
            .simulation_duration(END * 2)
            .tick_duration(TICK)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(LATENCY)
            .tcp_capacity(1_024)
            .rng_seed(seed)
            .enable_random_order()
            .build();
        let drains: Vec<Arc<Notify>> = (0..WORKERS).map(|_| Arc::default()).collect();
        for host in Host::all() {
            let history = history.clone();
            match host {
                Host::Registry => sim.host(host.name(), move || registry::run(history.clone(), mode)),
                Host::Gateway(number) => {
                    let arrivals = plan.arrivals[number].clone();
                    sim.host(host.name(), move || gateway::run(number, arrivals.clone(), history.clone(), mode));
                }
                Host::Worker(number) => {
                    let drain = drains[number].clone();
                    sim.host(host.name(), move || worker::run(host.name(), drain.clone(), history.clone(), mode));
                }
            }
        }
        Self { sim, plan, history: history.clone(), drains, dead: BTreeSet::new() }
    }

    fn play(mut self) {
        let mut faults = std::mem::take(&mut self.plan.faults).into_iter().peekable();
        let mut at = Duration::ZERO;
        while at < END && self.history.broken().is_none() {
            let before = at;
            while let Some((_, fault)) = faults.next_if(|(due, _)| *due <= at) {
                self.apply(fault);
            }
            self.sim.step().expect("no host fails by itself");
            at = self.sim.elapsed();
            self.history.is_at(at);
            let passes = |time: Duration| before < time && time <= at;
            if passes(CALM) {
                self.heal();
            }
            if passes(LOOK) || passes(END) {
                self.history.look();
            }
            if before.as_nanos() / RESTART.as_nanos() != at.as_nanos() / RESTART.as_nanos() {
                self.restart_drained();
            }
        }
        let history = self.history.clone();
        history.while_dying(|| drop(self));
    }

    fn apply(&mut self, fault: Fault) {
        match fault {
            // Two faults may befall one host; the dead do not die.
            Fault::Kill(host) | Fault::PowerOff(host) if !self.dead.insert(host) => return,
            Fault::Start(host) if !self.dead.remove(&host) => return,
            _ => {}
        }
        self.history.fault(&fault);
        match fault {
            Fault::Partition(a, b) => self.sim.partition(a.name(), b.name()),
            Fault::OneWay(from, to) => self.sim.partition_oneway(from.name(), to.name()),
            Fault::Repair(a, b) => self.connect(a, b),
            Fault::Hold(a, b) => self.sim.hold(a.name(), b.name()),
            Fault::Release(a, b) => self.connect(a, b),
            Fault::Slow(a, b, latency) => self.sim.set_link_latency(a.name(), b.name(), latency),
            Fault::Isolate(host) => self.cut_off(host),
            Fault::Rejoin(host) => self.rejoin(host),
            Fault::Kill(host) => self.kill(host),
            Fault::PowerOff(host) => {
                self.cut_off(host);
                self.kill(host);
            }
            Fault::Start(host) => {
                self.rejoin(host);
                self.sim.bounce(host.name());
            }
            Fault::Drain(worker) if self.dead.contains(&Host::Worker(worker)) => {}
            Fault::Drain(worker) => self.drains[worker].notify_one(),
        }
    }

    fn kill(&mut self, host: Host) {
        let (history, sim) = (&self.history, &mut self.sim);
        history.while_dying(|| sim.crash(host.name()));
    }

    fn cut_off(&mut self, host: Host) {
        for other in Host::all().filter(|other| *other != host) {
            self.sim.partition(host.name(), other.name());
        }
        if let Host::Gateway(number) = host {
            self.history.is_cut_off(number, true);
        }
    }

    fn rejoin(&mut self, host: Host) {
        Host::all().filter(|other| *other != host).for_each(|other| self.connect(host, other));
    }

    fn connect(&mut self, a: Host, b: Host) {
        // What was held arrives now, and what was cut off passes again.
        self.sim.release(a.name(), b.name());
        self.sim.repair(a.name(), b.name());
        for host in [a, b] {
            if let Host::Gateway(number) = host {
                self.history.is_cut_off(number, false);
            }
        }
    }

    fn heal(&mut self) {
        let hosts: Vec<Host> = Host::all().collect();
        for (number, a) in hosts.iter().enumerate() {
            for b in &hosts[..number] {
                self.connect(*a, *b);
                self.sim.set_link_latency(a.name(), b.name(), LATENCY);
            }
        }
        for host in std::mem::take(&mut self.dead) {
            self.history.fault(&Fault::Start(host));
            self.sim.bounce(host.name());
        }
    }

    fn restart_drained(&mut self) {
        for host in (0..WORKERS).map(Host::Worker) {
            if !self.dead.contains(&host) && !self.sim.is_host_running(host.name()) {
                self.history.fault(&Fault::Start(host));
                self.sim.bounce(host.name());
            }
        }
    }
}
