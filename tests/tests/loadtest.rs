//! The load generator against the real server, where a server of its own tests would prove nothing.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use clap::Parser;
use dalston_loadtest::{cli::Cli, cli::measure, report::Report};
use dalston_tests::server::Server;

async fn loadtest(server: &Server, line: &str) -> Report {
    let url = format!("ws://{}", server.address());
    let words = ["dalston-loadtest"].into_iter().chain(line.split(' ')).chain(["--url", &url]);
    measure(&Cli::parse_from(words)).await.unwrap()
}

fn broken(report: &Report) -> Vec<&str> {
    report.checks.iter().filter(|check| !check.ok).map(|check| check.claim.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_a_set_rate_are_timed_from_when_they_were_due() {
    let server = Server::loopback().start();
    let report = loadtest(&server, "jobs --rate 5 --lasting 2s --speech 1s").await;
    assert_eq!(broken(&report), [""; 0]);
    let figures = report.json()["figures"].clone();
    assert_eq!(figures["jobs_completed"], 10, "{figures:#}");
    for key in ["submit_to_accepted_ms", "submit_to_completed_ms"] {
        assert_eq!(figures[key]["count"], 10, "{figures:#}");
    }
    assert!(figures["submit_to_accepted_ms"]["p50"].as_f64() < figures["submit_to_completed_ms"]["p50"].as_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_breaks_the_claim() {
    let server = Server::loopback().expect("an attempt at a task failed").start();
    let report = loadtest(&server, "jobs --rate 5 --lasting 200ms --file Cargo.toml").await;
    assert_eq!(broken(&report), ["every job was accepted and completed"]);
    assert!(report.checks.iter().any(|check| check.faults.as_ref().is_some_and(|faults| faults.count == 1)));
}
