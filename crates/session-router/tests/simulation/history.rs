//! What happened, as somebody sees it who is everywhere at once, and whether it is what is promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use dalston_protocol::{SessionId, WorkerId};
use dalston_session_router::{Health, RouterSettings, WorkerStatus};
use parking_lot::Mutex;

use crate::{Mode, plan::SLOTS, registry::PATIENCE};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The registry never has more leases on a worker than it has slots, nor a worker more sessions.
    NoSlotIsSoldTwice,
    /// One lease after the last fault, each worker's slots in use are its sessions; and at the end, none.
    SlotsInUseAreSessions,
    /// Every session ends once, and its gateway knows how, unless it is gone itself.
    OneEndEach,
    /// What a worker answers to a session reaches that session, all of it and in order.
    SessionsHearTheirOwn,
    /// A worker of which the registry knows that it drains is never chosen.
    DrainingWorkersGetNothing,
    /// An allocation ends within the times of its attempts, and at once for a gateway that reaches nobody.
    AllocationIsBounded,
    /// One lease after the last fault all workers are ready, and sessions are served as ever.
    AllIsWellAfterwards,
    /// Without faults nobody is refused by a worker, and no session ends but by its client.
    NothingFailsByItself,
}

/// How a session ended, as its gateway knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Over,
    NoCapacity,
    WorkerDied,
    GatewayDied,
}

/// Each attempt asks the registry up to three times, and the worker once.
fn longest_allocation() -> Duration {
    let settings = RouterSettings::default();
    settings.max_attempts as u32 * (settings.open_deadline + 3 * PATIENCE) + SLACK
}

/// Ticks of the simulated clock, and messages that are slow to arrive.
const SLACK: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Session {
    number: usize,
    gateway: usize,
    asked: Duration,
    /// Until it has a worker or a refusal.
    waits: bool,
    until: Duration,
    end: Option<End>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    sessions: BTreeSet<SessionId>,
    drains: bool,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    log: String,
    broken: Option<(Claim, String)>,
    sessions: BTreeMap<SessionId, Session>,
    /// Those that live.
    workers: BTreeMap<WorkerId, Worker>,
    names: BTreeMap<WorkerId, String>,
    /// Of which the registry was told.
    drained: BTreeSet<WorkerId>,
    stated: Vec<WorkerStatus>,
    /// Since when a gateway reaches nobody at all.
    cut_off: BTreeMap<usize, Duration>,
    /// A host is dying: what is dropped now ends with it.
    dying: bool,
    refused_by_workers: usize,
}

/// Shared by all hosts, over no network.
#[derive(Debug)]
pub struct History {
    mode: Mode,
    state: Mutex<State>,
}

impl History {
    pub fn new(mode: Mode) -> Self {
        Self { mode, state: Mutex::default() }
    }

    pub fn broken(&self) -> Option<Claim> {
        self.state.lock().broken.as_ref().map(|(claim, _)| *claim)
    }

    /// All that happened, and in the last line how often.
    pub fn report(&self) -> String {
        let state = self.state.lock();
        let mut ends = BTreeMap::<End, usize>::new();
        state.sessions.values().filter_map(|session| session.end).for_each(|end| *ends.entry(end).or_default() += 1);
        let mut report = state.log.clone();
        if let Some((claim, why)) = &state.broken {
            let _ = writeln!(report, "broken: {claim:?}: {why}");
        }
        let _ = writeln!(report, "{ends:?}, {} refusals by workers", state.refused_by_workers);
        report
    }

    /// Time passes.
    pub fn is_at(&self, now: Duration) {
        let mut state = self.state.lock();
        state.now = now;
        let late = |session: &&Session| session.waits && now > session.asked + longest_allocation();
        if let Some(late) = state.sessions.values().find(late).map(|session| session.number) {
            state.breaks(Claim::AllocationIsBounded, format!("session {late} still waits"));
        }
    }

    pub fn fault(&self, what: &dyn std::fmt::Debug) {
        self.state.lock().say(format_args!("{what:?}"));
    }

    /// Whether a gateway reaches nobody from now on.
    pub fn is_cut_off(&self, gateway: usize, is_cut_off: bool) {
        let mut state = self.state.lock();
        let now = state.now;
        if is_cut_off {
            state.cut_off.insert(gateway, now)
        } else {
            state.cut_off.remove(&gateway)
        };
    }

    /// What `dies` drops ends with a host.
    pub fn while_dying(&self, dies: impl FnOnce()) {
        self.state.lock().dying = true;
        dies();
        self.state.lock().dying = false;
    }

    // What gateways say.

    pub fn asks(&self, id: &SessionId, gateway: usize, until: Duration) {
        let mut state = self.state.lock();
        let (number, asked) = (state.sessions.len() + 1, state.now);
        state.say(format_args!("gateway {gateway} wants a worker for session {number}"));
        let session = Session { number, gateway, asked, waits: true, until, end: None };
        state.sessions.insert(id.clone(), session);
    }

    /// A worker was found, or none.
    pub fn is_answered(&self, id: &SessionId, worker: Option<&WorkerId>) {
        let mut state = self.state.lock();
        let now = state.now;
        let cut_off = state.cut_off.clone();
        let session = state.sessions.get_mut(id).expect("it asked");
        session.waits = false;
        let (number, took, gateway, asked) = (session.number, now - session.asked, session.gateway, session.asked);
        let name = worker.map_or("nobody", |id| state.names.get(id).map_or("a stranger", String::as_str)).to_owned();
        state.say(format_args!("session {number} got {name} after {took:?}"));
        let alone = cut_off.get(&gateway).is_some_and(|since| *since < asked);
        let most = if alone { PATIENCE + SLACK } else { longest_allocation() };
        if took > most {
            state.breaks(Claim::AllocationIsBounded, format!("session {number}, cut off: {alone}, took {took:?}"));
        }
    }

    pub fn ends(&self, id: &SessionId, end: End) {
        let mut state = self.state.lock();
        let calm = self.mode == Mode::Calm;
        let session = state.sessions.get_mut(id).expect("it asked");
        let (number, before, since) = (session.number, session.end.replace(end), session.asked);
        session.waits = false;
        state.say(format_args!("session {number} ended: {end:?}"));
        if let Some(before) = before {
            state.breaks(Claim::OneEndEach, format!("session {number} ended as {before:?} and as {end:?}"));
        }
        if calm && !matches!(end, End::Over | End::NoCapacity) {
            state.breaks(Claim::NothingFailsByItself, format!("session {number} ended as {end:?}"));
        }
        if since >= crate::plan::HEALED && end != End::Over {
            state.breaks(Claim::AllIsWellAfterwards, format!("session {number} ended as {end:?}"));
        }
    }

    /// A session is dropped that had no end.
    pub fn is_dropped(&self, id: &SessionId) {
        let has_ended = self.state.lock().sessions.get(id).is_some_and(|session| session.end.is_some());
        if has_ended {
            return;
        }
        if !self.state.lock().dying {
            self.breaks(Claim::OneEndEach, format!("{id} was forgotten"));
        }
        self.ends(id, End::GatewayDied);
    }

    pub fn breaks(&self, claim: Claim, why: String) {
        self.state.lock().breaks(claim, why);
    }

    // What workers say.

    pub fn begins(&self, worker: &WorkerId, name: String) {
        let mut state = self.state.lock();
        state.say(format_args!("{name} is there"));
        state.names.insert(worker.clone(), name.clone());
        state.workers.insert(worker.clone(), Worker { name, sessions: BTreeSet::new(), drains: false });
    }

    pub fn is_gone(&self, worker: &WorkerId) {
        self.state.lock().workers.remove(worker);
    }

    pub fn drains(&self, worker: &WorkerId) {
        let mut state = self.state.lock();
        if let Some(worker) = state.workers.get_mut(worker) {
            worker.drains = true;
        }
    }

    pub fn refuses(&self, worker: &WorkerId, why: &dyn std::fmt::Display) {
        let mut state = self.state.lock();
        state.refused_by_workers += 1;
        let name = state.names[worker].clone();
        state.say(format_args!("{name} refuses: {why}"));
        if self.mode == Mode::Calm {
            state.breaks(Claim::NothingFailsByItself, format!("{name} refuses: {why}"));
        }
    }

    pub fn takes(&self, worker: &WorkerId, session: &SessionId) {
        let mut state = self.state.lock();
        let worker = state.workers.get_mut(worker).expect("it lives");
        worker.sessions.insert(session.clone());
        let (name, sessions) = (worker.name.clone(), worker.sessions.len());
        state.say(format_args!("{name} has {sessions} sessions"));
        if sessions > SLOTS {
            state.breaks(Claim::NoSlotIsSoldTwice, format!("{name} has {sessions} sessions"));
        }
    }

    pub fn leaves(&self, worker: &WorkerId, session: &SessionId) {
        if let Some(worker) = self.state.lock().workers.get_mut(worker) {
            worker.sessions.remove(session);
        }
    }

    // What the registry says.

    pub fn registry_says(&self, stated: Vec<WorkerStatus>) {
        let mut state = self.state.lock();
        let too_many = stated.iter().find(|status| status.used > status.capacity);
        if let Some(WorkerStatus { worker_id, used, .. }) = too_many {
            let why = format!("{} has {used} slots in use", state.names[worker_id]);
            state.breaks(Claim::NoSlotIsSoldTwice, why);
        }
        state.stated = stated;
    }

    pub fn knows_of_draining(&self, worker: &WorkerId, drains: bool) {
        let mut state = self.state.lock();
        if drains {
            state.drained.insert(worker.clone())
        } else {
            state.drained.remove(worker)
        };
    }

    pub fn is_chosen(&self, worker: &WorkerId) {
        let mut state = self.state.lock();
        if state.drained.contains(worker) {
            let why = format!("{} was chosen", state.names[worker]);
            state.breaks(Claim::DrainingWorkersGetNothing, why);
        }
    }

    pub fn name(&self, worker: &WorkerId) -> String {
        self.state.lock().names[worker].clone()
    }

    // What must be true in the end.

    /// Slots in use are sessions, of workers and of gateways; and all workers are well.
    pub fn look(&self) {
        let mut state = self.state.lock();
        let State { workers, stated, sessions, now, .. } = &*state;
        let used = |id: &WorkerId| stated.iter().find(|status| status.worker_id == *id).map_or(0, |status| status.used);
        let counts: Vec<_> =
            workers.iter().map(|(id, worker)| (worker.name.clone(), used(id), worker.sessions.len())).collect();
        let leases: usize = stated.iter().map(|status| status.used).sum();
        let open = sessions.values().filter(|session| session.end.is_none()).count();
        let served: usize = workers.values().map(|worker| worker.sessions.len()).sum();
        let overdue = sessions.values().find(|session| session.end.is_none() && session.until < *now - SLACK);
        let overdue = overdue.map(|session| session.number);
        let health = |id: &WorkerId| stated.iter().find(|status| status.worker_id == *id).map(|status| status.health);
        let unwell = workers.iter().find(|(id, worker)| !worker.drains && health(id) != Some(Health::Ready));
        let unwell = unwell.map(|(id, worker)| format!("{}: {:?}", worker.name, health(id)));

        if counts.iter().any(|(_, used, sessions)| used != sessions) || leases != served || served != open {
            let why =
                format!("worker, slots in use, sessions: {counts:?}; {leases} leases, {open} sessions of gateways");
            state.breaks(Claim::SlotsInUseAreSessions, why);
        }
        if let Some(number) = overdue {
            state.breaks(Claim::OneEndEach, format!("session {number} has no end"));
        }
        if let Some(unwell) = unwell {
            state.breaks(Claim::AllIsWellAfterwards, unwell);
        }
    }
}

impl State {
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.log, "{:>9.3} {what}", self.now.as_secs_f64());
    }

    /// The first is the one that counts: others may follow from it.
    fn breaks(&mut self, claim: Claim, why: String) {
        self.say(format_args!("broken: {claim:?}: {why}"));
        self.broken.get_or_insert((claim, why));
    }
}
