//! The load generator against the real server, where a server of its own tests would prove nothing.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{fmt::Display, net::TcpListener};

use clap::Parser;
use dalston_loadtest::{cli::Cli, cli::measure, report::Report};
use dalston_tests::server::{Server, binary};

async fn loadtest(server: &Server, line: &str) -> Report {
    loadtest_at(server.address(), line.split(' ')).await
}

async fn loadtest_at<'a>(address: impl Display, line: impl Iterator<Item = &'a str>) -> Report {
    let url = format!("ws://{address}");
    let line = ["dalston-loadtest", "--url", &url].into_iter().map(str::to_owned).chain(line.map(str::to_owned));
    measure(&Cli::parse_from(line)).await.unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_started_and_stopped_as_often_as_asked() {
    // Nobody else takes it in the moment until the server does: the kernel gives free ports out in turn.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = format!(
        "{} serve --engine loopback --bind {address} --data-dir {}",
        binary().display(),
        folder.path().display()
    );
    let line = ["start", "--times", "3", "--max-ms", "0.001", "--max-mib", "10000", "--server", &server];
    let report = loadtest_at(address, line.into_iter()).await;
    assert_eq!(broken(&report), ["it is ready in 0.001 ms"]);
    let figures = report.json()["figures"].clone();
    assert!(figures["ready_ms"].as_f64() <= figures["ready_ms_max"].as_f64(), "{figures:#}");
    assert!(figures["server_memory_ready_bytes"].as_u64() > Some(1 << 20), "{figures:#}");
}
