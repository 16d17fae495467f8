//! What `dalston doctor` finds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::net::TcpListener;

use serde_json::Value;
use support::{Ended, Home};

fn findings(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.out).unwrap()
}

fn status<'a>(findings: &'a [Value], check: &str) -> &'a str {
    findings.iter().find(|finding| finding["check"] == check).unwrap()["status"].as_str().unwrap()
}

#[test]
fn a_machine_with_everything_is_fit() {
    let ended = Home::new().run(&["doctor", "--bind", "127.0.0.1:0", "--output", "json"]).succeeded();
    let findings = findings(&ended);
    for check in ["configuration", "engine", "address", "data directory", "collector"] {
        assert_eq!(status(&findings, check), "ok", "{}", ended.out);
    }
}

#[test]
fn every_problem_has_its_fix() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut doctor = home.dalston(&["doctor", "--bind", &address, "--engine", "loopback", "--output", "json"]);
    doctor.env("OTEL_ENABLED", "true").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").env("DALSTON_VAD", "x");
    doctor.env("DALSTON_DATA_DIR", "/dev/null/dalston");
    let ended = Ended::from(doctor.output().unwrap());
    assert_eq!(ended.code, Some(1));
    let findings = findings(&ended);
    for (check, expected) in [
        ("configuration", "problem"),
        ("address", "problem"),
        ("collector", "warning"),
        ("engine", "warning"),
        ("data directory", "problem"),
    ] {
        assert_eq!(status(&findings, check), expected, "{}", ended.out);
    }
    let has_fix = |finding: &&Value| finding["status"] != "ok" && finding["fix"].as_str().is_none();
    assert_eq!(findings.iter().find(has_fix), None);
}

#[test]
fn nothing_is_made_by_looking() {
    let home = Home::new();
    home.run(&["doctor", "--bind", "127.0.0.1:0", "--data-dir", &home.path("data")]).succeeded();
    assert!(!std::path::Path::new(&home.path("data")).exists());
}
