//! The child's side: the host process, and the streams that it forks.
//!
//! The host has one thread and no runtime, because a fork takes only the thread that calls it. It loads the model, then
//! does nothing but fork, kill and reap. It dies with the server: its control socket ends, and the kernel kills it in any case
//! (`PR_SET_PDEATHSIG`). Streams die with the host in the same two ways.

mod host;
mod panics;
mod stream;

#[allow(unsafe_code, reason = "fork, and ignoring signals, have no safe interface")]
mod process;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use dalston_engine_sdk::{EngineError, NativeModel};
use rustix::net::{SocketType, sockopt};

use crate::control;
use crate::wire::Report;

/// Runs this process as the host of a native engine until the server is gone. `main` calls it for `engine-host`, before it
/// starts any thread.
///
/// Standard input must be the control socket, as [`HostedEngine`](crate::HostedEngine) arranges it; a person who runs the command by
/// hand is told so.
pub fn run<M: NativeModel>(load: impl FnOnce() -> Result<M, EngineError>) -> ExitCode {
    let Ok(control) = take_control() else {
        eprintln!("the engine host is started by the server; it cannot be used by hand");
        return ExitCode::from(2);
    };
    panics::keep_quiet();
    process::leave_signals_to_the_server();
    if process::die_with_parent(None).is_err() {
        return ExitCode::FAILURE;
    }
    let (report, model) = match panics::caught(load) {
        Ok(model) => (Report::Ready, Some(model)),
        Err(error) => (Report::LoadFailed(error), None),
    };
    match (control::send(&control, &report, None), model) {
        (Ok(()), Some(model)) => host::serve(model, control),
        _ => ExitCode::FAILURE,
    }
}

/// The control socket off standard input, which becomes `/dev/null`.
fn take_control() -> io::Result<OwnedFd> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    if sockopt::socket_type(&control)? != SocketType::SEQPACKET {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(control)
}
