//! No process outlives what it belongs to.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Watch, audio, children, limits, open, signal, tally as start};

const SOON: Duration = Duration::from_secs(10);

/// What this program does as `server`: holds streams open in the middle of their utterances until it is killed.
pub async fn serve() {
    let engine = start(limits(), &[]).await;
    let mut recognizers = [open(&engine), open(&engine)];
    for recognizer in &mut recognizers {
        recognizer.accept(&audio(1, 1), false).await.expect("accepted");
    }
    println!("{}", engine.host_pid().expect("a host"));
    std::future::pending::<()>().await;
}

/// A server, its host, and two streams.
struct Family {
    server: Child,
    host: u32,
    streams: Vec<u32>,
}

impl Family {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut server = Command::new(program).arg("server").stdout(Stdio::piped()).spawn().expect("a server");
        let mut line = String::new();
        let stdout = server.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("the host's number");
        let host = line.trim().parse().expect("the host's number");
        let streams = children(host);
        assert_eq!(streams.len(), 2, "{streams:?}");
        Self { server, host, streams }
    }

    fn watch(&self) -> Watch {
        Watch::new(&[&[self.host], &self.streams[..]].concat())
    }

    fn kill_server(&mut self) {
        self.server.kill().expect("our child");
        self.server.wait().expect("our child");
    }
}

pub async fn a_killed_server_leaves_no_process() {
    let mut family = Family::start();
    let watch = family.watch();
    family.kill_server();
    watch.assert_gone(SOON);
}

pub async fn a_killed_server_leaves_no_process_even_if_they_are_stopped() {
    let mut family = Family::start();
    let watch = family.watch();
    for pid in family.streams.iter().chain([&family.host]) {
        signal(*pid, Signal::STOP);
    }
    family.kill_server();
    watch.assert_gone(SOON);
}

pub async fn a_killed_host_takes_its_streams_along() {
    let mut family = Family::start();
    let watch = family.watch();
    signal(family.host, Signal::KILL);
    watch.assert_gone(SOON);
    family.kill_server();
}

/// An interrupt at a terminal, or a service manager's stop, is the server's to act on.
pub async fn signals_to_the_group_do_not_end_streams() {
    let mut family = Family::start();
    for pid in family.streams.iter().chain([&family.host]) {
        signal(*pid, Signal::TERM);
        signal(*pid, Signal::INT);
        signal(*pid, Signal::HUP);
    }
    assert_eq!(children(family.host).len(), 2);
    let watch = family.watch();
    family.kill_server();
    watch.assert_gone(SOON);
}

pub async fn shutting_down_ends_every_process_and_waits_for_it() {
    let engine = start(limits(), &[]).await;
    let host = engine.host_pid().expect("a host");
    let mut recognizer = open(&engine);
    recognizer.accept(&audio(1, 1), false).await.expect("accepted");
    let watch = Watch::new(&[&[host], &children(host)[..]].concat());
    engine.shutdown().await;
    watch.assert_gone(SOON);
    assert!(children(std::process::id()).iter().all(|&pid| pid != host), "reaped");
    recognizer.accept(&audio(1, 1), false).await.expect_err("it is shut down");
}

pub async fn dropping_the_engine_ends_its_processes() {
    let engine = start(limits(), &[]).await;
    let watch = Watch::new(&[engine.host_pid().expect("a host")]);
    drop(engine);
    // The runtime runs the supervisor to its end.
    tokio::task::spawn_blocking(move || watch.assert_gone(SOON)).await.expect("gone");
}
