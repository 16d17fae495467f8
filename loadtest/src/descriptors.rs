//! A socket for every session.

use anyhow::{bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but sessions.
const OTHERS: u64 = 64;

/// Makes sure that this many sessions can be open at once: raises the soft limit as far as the hard one allows.
///
/// # Errors
/// When it does not allow that, with what to do.
pub fn need(sessions: usize) -> anyhow::Result<()> {
    ensure!(sessions > 0, "at least one session is needed");
    let wanted = sessions as u64 + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < wanted) {
        bail!(
            "{sessions} sessions need {wanted} file descriptors and {maximum:?} are allowed; raise it with `ulimit -Hn {wanted}`"
        );
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?)
}
