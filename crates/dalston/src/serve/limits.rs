//! What the kernel lets the server have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of open files to what the administrator allows, and says how many that are. Distributions leave the
/// soft limit at 1,024 for programs that use `select`; a socket per session needs more.
pub fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // A kernel that refuses leaves the server with what it has.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let now = if raised.is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

/// Open files that the administrator allows.
pub fn most_open_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}
