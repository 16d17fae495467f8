//! Keeps a host running, and passes orders and reports between it and the recognisers.

use std::collections::{HashMap, VecDeque};
use std::future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dalston_engine_sdk::EngineError;
use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::config::HostConfig;
use super::patience::{Patience, Pid};
use super::pool::{Pool, Slot};
use super::process::HostProcess;
use super::stream::{Ending, ForkOrder, Kills};
use crate::control;
use crate::wire::{Order, Report};

/// Where the host stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It loads its model, or will be started again in a moment.
    Starting,
    /// It takes orders.
    Ready { pid: u32 },
    /// It cannot be started, for this reason; it is tried again now and then.
    Down(EngineError),
    /// It was shut down.
    Closed,
}

/// The task that owns the host.
pub struct Supervisor {
    pub config: HostConfig,
    pub pool: Arc<Pool>,
    pub kills: Arc<Kills>,
    /// Of the host that runs.
    pub host: Pid,
    pub state: watch::Sender<State>,
    /// As long as there are slots: each order holds one, so sending never waits.
    pub orders: mpsc::Receiver<ForkOrder>,
    pub stop: watch::Receiver<bool>,
}

/// A stream that was ordered and has not ended.
struct Entry {
    ended: oneshot::Sender<Ending>,
    pid: Pid,
    /// Keeps the slot taken until the process is gone.
    _slot: Slot,
}

/// How a host's life ended.
enum End {
    /// It was to.
    Stopped,
    /// It never took orders.
    NotStarted(EngineError),
    /// It took orders for so long.
    Lost { reason: String, lived: Duration },
}

/// A host that lived so long did not fail at its start: it is started again at once.
const LONG_LIFE: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Runs until it is stopped, or until nobody is left who could give orders.
    pub async fn run(mut self) {
        let mut failures: u32 = 0;
        loop {
            let state = match self.life().await {
                End::Stopped => break,
                End::NotStarted(error) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, "engine host did not start");
                    State::Down(error)
                }
                End::Lost { reason, lived } => {
                    failures = if lived >= LONG_LIFE { 0 } else { failures.saturating_add(1) };
                    tracing::warn!(reason, lived_seconds = lived.as_secs_f64(), "engine host lost, starting another");
                    State::Starting
                }
            };
            self.state.send_replace(state);
            self.pool.restarts.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = sleep(self.backoff(failures)) => {}
                () = stopped(&mut self.stop) => break,
            }
        }
        self.state.send_replace(State::Closed);
    }

    fn backoff(&self, failures: u32) -> Duration {
        let limits = &self.config.limits;
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => limits.backoff.saturating_mul(1 << doublings.min(16)).min(limits.longest_backoff),
        }
    }

    /// One host, from its start to its end.
    async fn life(&mut self) -> End {
        let began = Instant::now();
        let host = match HostProcess::start(&self.config).await {
            Ok(host) => host,
            Err(error) => {
                let what = self.config.program.display().to_string();
                return End::NotStarted(EngineError::Unavailable {
                    what,
                    fix: format!("it cannot be started: {error}"),
                });
            }
        };
        let loaded = tokio::select! {
            loaded = timeout(self.config.limits.load, report(&host)) => Some(loaded),
            () = stopped(&mut self.stop) => None,
        };
        let failure = match loaded {
            Some(Ok(Ok(Some(Report::Ready)))) => None,
            Some(Ok(Ok(Some(Report::LoadFailed(error))))) => Some(End::NotStarted(error)),
            Some(Err(_elapsed)) => Some(End::NotStarted(EngineError::Stalled(self.config.limits.load))),
            Some(Ok(_)) => {
                let exit = end(host, MOMENT).await;
                return End::NotStarted(EngineError::Died(format!("while it loaded its model: {exit}")));
            }
            None => Some(End::Stopped),
        };
        if let Some(failure) = failure {
            end(host, Duration::ZERO).await;
            return failure;
        }
        self.host.set(host.pid);
        tracing::info!(pid = host.pid, seconds = began.elapsed().as_secs_f64(), "engine host is ready");
        self.state.send_replace(State::Ready { pid: host.pid });

        let mut entries = HashMap::new();
        let ready = Instant::now();
        let stop = self.serve(&host, &mut entries).await;
        // Whoever is told now must not find a host that is no more.
        self.state.send_replace(State::Starting);
        // Whoever closed the socket is ending; anybody else is ended.
        let patience = if matches!(stop, Err(None)) { MOMENT } else { Duration::ZERO };
        let exit = end(host, patience).await;
        let Err(reason) = stop else { return End::Stopped };
        let reason = reason.unwrap_or_else(|| format!("host ended: {exit}"));
        while let Ok(order) = self.orders.try_recv() {
            let _gone = order.ended.send(Ending::HostGone(reason.clone()));
        }
        for (_, Entry { ended, .. }) in entries {
            let _gone = ended.send(Ending::HostGone(reason.clone()));
        }
        End::Lost { reason, lived: ready.elapsed() }
    }

    /// Passes orders and reports until the end. `Err(None)` when the host closed its socket.
    async fn serve(&mut self, host: &HostProcess, entries: &mut HashMap<u64, Entry>) -> Result<(), Option<String>> {
        // Forks that were not reported yet, oldest first.
        let mut pending: VecDeque<(Patience, u64)> = VecDeque::new();
        let longest = self.config.limits.fork;
        loop {
            let overdue = async {
                match pending.front() {
                    Some((patience, _)) => patience.exhausted().await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                // Reports first: they free slots.
                biased;
                report = report(host) => match report {
                    Ok(Some(Report::Forked { id, pid })) => {
                        tracing::debug!(pid, id, "stream forked");
                        pending.retain(|(_, other)| *other != id);
                        if let Some(entry) = entries.get(&id) {
                            entry.pid.set(pid);
                        }
                    }
                    Ok(Some(Report::Refused { id, error })) => {
                        pending.retain(|(_, other)| *other != id);
                        forget(entries, id, Ending::Refused(error));
                    }
                    Ok(Some(Report::Ended { id, how })) => forget(entries, id, Ending::Exited(how)),
                    Ok(None) => return Err(None),
                    Ok(Some(Report::Ready | Report::LoadFailed(_))) | Err(_) => {
                        return Err(Some("host spoke out of turn".to_owned()));
                    }
                },
                () = stopped(&mut self.stop) => return Ok(()),
                () = overdue => return Err(Some(format!("host did not fork within {longest:?}"))),
                () = self.kills.wake.notified() => {
                    for id in self.kills.take() {
                        if entries.contains_key(&id) {
                            order(host, &Order::Kill { id }, None, longest).await?;
                        }
                    }
                }
                forked = self.orders.recv() => {
                    let Some(ForkOrder { id, options, socket, slot, pid, ended }) = forked else { return Ok(()) };
                    entries.insert(id, Entry { ended, pid, _slot: slot });
                    pending.push_back((Patience::new(longest, vec![self.host.clone()]), id));
                    let options = options.as_ref().clone();
                    order(host, &Order::Fork { id, options }, Some(socket.as_fd()), longest).await?;
                }
            }
        }
    }
}

fn forget(entries: &mut HashMap<u64, Entry>, id: u64, ending: Ending) {
    if let Some(entry) = entries.remove(&id) {
        let _gone = entry.ended.send(ending);
    }
}

/// Resolves when the engine is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender is gone only with the engine and all its recognisers.
    let _gone = stop.wait_for(|stop| *stop).await;
}

async fn report(host: &HostProcess) -> io::Result<Option<Report>> {
    let received = host.control.async_io(Interest::READABLE, || control::receive(&host.control)).await?;
    Ok(received.map(|(report, _)| report))
}

async fn order(
    host: &HostProcess,
    order: &Order,
    beside: Option<BorrowedFd<'_>>,
    longest: Duration,
) -> Result<(), Option<String>> {
    let send = host.control.async_io(Interest::WRITABLE, || control::send(&host.control, order, beside));
    match timeout(longest, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(None),
        Err(_elapsed) => Err(Some(format!("host took no order within {longest:?}"))),
    }
}

/// What a host that is ending by itself gets, so that it can be said how it ended.
const MOMENT: Duration = Duration::from_millis(200);

/// Ends the host, after a while if it does not do so itself, and says how it ended.
async fn end(mut host: HostProcess, patience: Duration) -> String {
    /// A killed process is gone in milliseconds, unless the kernel holds it.
    const LONGEST: Duration = Duration::from_secs(5);
    let exit = match timeout(patience, &mut host.exit).await {
        Ok(exit) => Ok(exit),
        Err(_elapsed) => {
            host.kill();
            timeout(LONGEST, &mut host.exit).await
        }
    };
    match exit {
        Ok(Ok(Ok(status))) => status.to_string(),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => "unknown".to_owned(),
        Err(_elapsed) => "it cannot be killed".to_owned(),
    }
}
