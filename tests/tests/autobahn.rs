//! Autobahn's WebSocket test suite against the gateway's own accept loop, handshake and limits.
//!
//! `tests/autobahn/expected.json` holds the outcome of every case but those of compression, which is not offered. The
//! suite comes from PyPI at the first run; where it cannot be had, the test fails and says so.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("autobahn")
}

/// `…/target/<profile>`
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    test.ancestors().nth(2).expect("tests lie in target/<profile>/deps").to_owned()
}

/// The gateway's example of the same name. Ended when dropped, and by itself when its input ends.
struct WebsocketEcho {
    child: Child,
    address: String,
}

impl WebsocketEcho {
    fn start() -> Self {
        let program = profile_folder().join("examples/websocket_echo");
        let build = "cargo build -p dalston-gateway --examples";
        assert!(program.exists(), "{} is not built; run `{build}` first", program.display());
        let mut child =
            Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the echo starts");
        let mut address = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut address).expect("the echo prints its address");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for WebsocketEcho {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_case_of_autobahns_suite_ends_as_it_is_written_down() {
    let echo = WebsocketEcho::start();
    let folder = profile_folder().parent().expect("a profile lies in target").join("autobahn");
    let url = format!("ws://{}/", echo.address);
    let run = Command::new(suite().join("run.sh")).arg(folder).arg(url).output().expect("bash runs the suite");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{said}", run.status);
}

/// What is written down is conformance, and not merely what came out once.
#[test]
fn only_size_fails_and_only_two_refusals_come_late() {
    let expected = std::fs::read_to_string(suite().join("expected.json")).expect("it is part of the project");
    let expected: BTreeMap<String, Value> = serde_json::from_str(&expected).expect("it is JSON");
    assert_eq!(expected.len(), 301);
    for (case, outcome) in &expected {
        let is = |behavior: &str, close: &str| outcome["behavior"] == behavior && outcome["close"] == close;
        let conforms = match case.as_str() {
            // Text within one frame is checked when the frame is complete, not while it comes.
            "6.4.3" | "6.4.4" => is("NON-STRICT", "OK") && outcome["code"] == 1007,
            // The suite judges nothing where the RFC leaves it open.
            "7.1.6" | "7.13.1" | "7.13.2" => is("INFORMATIONAL", "INFORMATIONAL"),
            // 4 MiB and more, in however many frames: refused, and the client learns why.
            _ if case.starts_with("9.") && outcome["code"] == 1009 => is("FAILED", "FAILED"),
            _ => is("OK", "OK"),
        };
        assert!(conforms, "{case}: {outcome}");
    }
}
