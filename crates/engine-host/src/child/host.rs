//! The host after loading: forks a stream for each order, reaps it when it is gone.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use dalston_engine_sdk::{EngineError, NativeModel, StreamOptions};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, pidfd_open, pidfd_send_signal, waitid,
    waitpid,
};

use super::process::{self, Side};
use super::{panics, stream};
use crate::control;
use crate::wire::{Exit, Order, Report};

/// A stream's process. Known by a descriptor and not by its number alone, which the kernel gives to others later.
struct Child {
    id: u64,
    process: OwnedFd,
}

/// Serves orders until the server is gone. Its streams end with this process.
pub fn serve<M: NativeModel>(mut model: M, control: OwnedFd) -> ExitCode {
    // As many as the server has slots: it orders no more.
    let mut children: Vec<Child> = Vec::new();
    loop {
        let woken = match wait(&control, &children) {
            Ok(woken) => woken,
            Err(Errno::INTR) => continue,
            Err(_) => return ExitCode::FAILURE,
        };
        let mut reports: Vec<Report> = woken.ended.iter().filter_map(|&id| reap(id, &mut children)).collect();
        if woken.order {
            match control::receive(&control) {
                Ok(Some((Order::Fork { id, options }, Some(socket)))) => {
                    let side = prepare_and_fork(&mut model, &options);
                    if matches!(side, Ok(Side::Child)) {
                        drop((control, children));
                        stream::run(model, &options, socket);
                    }
                    reports.push(
                        side.and_then(|side| adopt(id, &side, &mut children))
                            .unwrap_or_else(|error| Report::Refused { id, error }),
                    );
                }
                Ok(Some((Order::Fork { .. }, None))) => return ExitCode::FAILURE,
                Ok(Some((Order::Kill { id }, _))) => kill(id, &children),
                Ok(None) => return ExitCode::SUCCESS,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return ExitCode::FAILURE,
            }
        }
        if reports.iter().any(|report| control::send(&control, report, None).is_err()) {
            return ExitCode::SUCCESS;
        }
    }
}

struct Woken {
    order: bool,
    ended: Vec<u64>,
}

fn wait(control: &OwnedFd, children: &[Child]) -> Result<Woken, Errno> {
    let processes = children.iter().map(|child| child.process.as_fd());
    let mut polled: Vec<PollFd<'_>> = std::iter::once(control.as_fd())
        .chain(processes)
        .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
        .collect();
    poll(&mut polled, None)?;
    let ready = |at: usize| !polled[at].revents().is_empty();
    let ended = children.iter().enumerate().filter(|(at, _)| ready(at + 1)).map(|(_, child)| child.id).collect();
    Ok(Woken { order: ready(0), ended })
}

fn prepare_and_fork<M: NativeModel>(model: &mut M, options: &StreamOptions) -> Result<Side, EngineError> {
    panics::caught(|| model.prepare(options))?;
    let host = process::own_pid();
    let side = process::fork().map_err(|error| EngineError::Failed(format!("fork: {error}")))?;
    if matches!(side, Side::Child) && process::die_with_parent(Some(host)).is_err() {
        process::end(0);
    }
    Ok(side)
}

/// Keeps a descriptor of the child, or ends it: what cannot be watched must not run.
fn adopt(id: u64, side: &Side, children: &mut Vec<Child>) -> Result<Report, EngineError> {
    let Side::Parent(pid) = *side else { return Err(EngineError::Failed("a stream came back".to_owned())) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            children.push(Child { id, process });
            Ok(Report::Forked { id, pid: pid.as_raw_pid().cast_unsigned() })
        }
        Err(error) => {
            // Not reaped yet, so the number is still its own.
            let _gone = kill_process(pid, Signal::KILL);
            let _reaped = waitpid(Some(pid), WaitOptions::empty());
            Err(EngineError::Failed(format!("pidfd_open: {error}")))
        }
    }
}

fn kill(id: u64, children: &[Child]) {
    // One that has ended meanwhile is reaped in its turn.
    if let Some(child) = children.iter().find(|child| child.id == id) {
        let _gone = pidfd_send_signal(&child.process, Signal::KILL);
    }
}

/// Takes a child that has ended off the list and off the kernel's.
fn reap(id: u64, children: &mut Vec<Child>) -> Option<Report> {
    let at = children.iter().position(|child| child.id == id)?;
    let child = children.swap_remove(at);
    let status = waitid(WaitId::PidFd(child.process.as_fd()), WaitIdOptions::EXITED).ok().flatten();
    let how = status.and_then(|status| match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit::Code(code)),
        (None, signal) => signal.map(Exit::Signal),
    });
    Some(Report::Ended { id, how: how.unwrap_or(Exit::Code(-1)) })
}
