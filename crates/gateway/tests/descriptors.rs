//! A process without file descriptors. Alone in its binary, because the limit is the process's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    fs::File,
    io::{Read, Seek},
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use support::Server;
use tokio::{net::TcpStream, time::sleep};

/// Time this process has spent on its cores. The file is open before there are no descriptors left.
fn cpu_time(mut stat: &File) -> Duration {
    let mut text = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut text).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // 100 a second on every Linux that Rust runs on.
    Duration::from_millis(ticks * 10)
}

#[tokio::test]
async fn without_descriptors_it_waits_and_then_serves_again() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let session = server.session().await;
    let stat = File::open("/proc/self/stat").unwrap();
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let old = getrlimit(Resource::Nofile);
    // An even number, so that the client's half of a connection gets the last one and the gateway's half gets none.
    let limit = Some(used + 7);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit, ..old }).unwrap();

    let mut open = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.address).await {
        open.push(stream);
        sleep(Duration::from_millis(5)).await;
        assert!(open.len() < 20, "the limit does not hold");
    }
    let before = cpu_time(&stat);
    sleep(Duration::from_millis(500)).await;
    let busy = cpu_time(&stat) - before;
    assert!(busy < Duration::from_millis(150), "{busy:?} of work in 500 ms of waiting for a descriptor");
    // What is open goes on.
    session.finish().await;
    assert_eq!(client.rest().await.1, 1000);

    open.clear();
    setrlimit(Resource::Nofile, old).unwrap();
    assert_eq!(server.http("GET /healthz").await.status, 200);
    server.stop().await;
}
