//! What an idle session costs. Alone in its binary: the process's memory is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use support::Server;

const SESSIONS: usize = 500;
/// Gateway, link and a scripted worker together, and the client's own socket. Measured: 16.3 kB.
const LIMIT: usize = 20 * 1024;

/// Resident bytes of this process.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn an_idle_session_costs_little() {
    let mut server = Server::start("").await;
    let mut open = Vec::new();
    // What is allocated once, for whoever comes first.
    for _ in 0..50 {
        open.push((server.connect_raw("").await, server.session().await));
    }
    let before = resident();
    for _ in 0..SESSIONS {
        open.push((server.connect_raw("").await, server.session().await));
    }
    let each = resident().saturating_sub(before) / SESSIONS;
    assert!(each <= LIMIT, "{each} bytes for each of {SESSIONS} idle sessions");
}
