//! What a process does to itself: fork, die with its parent, leave signals alone.

use std::io;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Which side of a fork this is.
pub enum Side {
    Child,
    Parent(Pid),
}

/// Splits this process in two.
pub fn fork() -> io::Result<Side> {
    // SAFETY: the host has one thread, so the child is a whole copy: no lock is held by a thread that is not there.
    match unsafe { libc::fork() } {
        0 => Ok(Side::Child),
        pid => Pid::from_raw(pid).filter(|_| pid > 0).map(Side::Parent).ok_or_else(io::Error::last_os_error),
    }
}

/// Has the kernel kill this process when its parent dies, and fails when that has happened already. `expected` is the parent
/// as a fork knows it. The server's host cannot know it; there the end of the control socket tells.
pub fn die_with_parent(expected: Option<Pid>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if expected.is_some() && getppid() != expected {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// This process.
pub fn own_pid() -> Pid {
    getpid()
}

/// Signals that mean the server (a terminal's interrupt, a service manager's stop for the whole group) do not end its
/// streams: the server drains its sessions first, which needs them, and then closes the control socket.
pub fn leave_signals_to_the_server() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: ignoring a signal installs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Ends this process without running what the host registered for its own end.
pub fn end(code: i32) -> ! {
    // SAFETY: does not return, touches nothing.
    unsafe { libc::_exit(code) }
}
