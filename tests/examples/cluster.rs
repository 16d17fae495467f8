//! `make cluster`: a whole cluster on this machine, a live session and a job through it, and the trace of each.
//!
//! Starts redis-server, PostgreSQL, an S3 server and every part of the product as a process of its own, all on loopback or on
//! unix sockets, and stops them again. With `--keep` it waits for ctrl-c, so that one can look around.

use std::time::Duration;

use dalston_protocol::realtime::SessionConfig;
use dalston_tests::{
    Collector,
    cluster::Plan,
    jobs::Form,
    session, speech,
    trace::{self, Trace},
};

/// Twice as fast as it was spoken.
const PACE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let keep = std::env::args().any(|argument| argument == "--keep");
    println!("starting Redis, PostgreSQL, S3 and 2 gateways, 2 realtime workers, 2 orchestrators, 2 engines …");
    let collector = Collector::start();
    let plan = Plan::loopback().recogniser("pocketsphinx").gateways(2).realtime(2).for_jobs(2, 2);
    let mut cluster = plan.traced_to(&collector.endpoint).start().await;
    for gateway in &cluster.gateways {
        println!("  gateway http://{}", gateway.address());
    }

    println!("\na live session, demo/demo.wav at twice its pace:");
    let client = cluster.gateways[0].client(SessionConfig::default());
    let heard = session::stream(&client, speech::demo(), 3_200, PACE).await;
    for said in heard.finals() {
        println!("  {:6.2} s  {}", said.start, said.text);
    }
    assert_eq!(heard.code, 1000, "the session ended with {}: {}", heard.code, heard.reason);
    assert!(!heard.finals().is_empty(), "nothing was heard");

    println!("\na job, the same recording, asked for at one gateway and read at the other:");
    let id = Form::demo().submit(&cluster.gateways[0]);
    let job = cluster.gateways[1].ended(&id);
    assert_eq!(job["status"], "completed", "{job}");
    println!("  {}", cluster.gateways[1].ask("GET", &id, "/export/txt").body.trim().replace('\n', "\n  "));

    if keep {
        println!("\nctrl-c ends it");
        tokio::signal::ctrl_c().await.expect("ctrl-c can be waited for");
    }
    for process in cluster.processes() {
        let ended = process.stop();
        assert!(ended.success(), "a process ended with {ended}; its log:\n{}", process.log());
    }
    let traces = trace::by_trace(collector.spans());
    for (what, name) in [("session", "realtime.session"), ("job", "engine.prepare.process")] {
        let found = traces.iter().find(|trace| !trace.named(name).is_empty()).expect("it was traced");
        println!("\nthe trace of the {what}, from {} spans:", found.spans.len());
        print!("{}", with_times(found));
        assert!(found.orphans(None).is_empty(), "spans without a parent: {:?}", found.orphans(None));
    }
    drop(cluster);
    println!("\nall stopped");
}

/// The tree, each line with how long its spans took; brothers of one name are one line.
fn with_times(trace: &Trace) -> String {
    let tree = trace.tree();
    let line = |line: &str| {
        let name = line.split_once("] ").map_or(line, |(_, name)| name);
        let spans = trace.named(name);
        let nanos: u64 = spans.iter().map(|it| it.span.end_time_unix_nano - it.span.start_time_unix_nano).sum();
        format!("{line:<76} {:>4} × {:>10.1} ms\n", spans.len(), nanos as f64 / 1e6 / spans.len().max(1) as f64)
    };
    tree.lines().map(line).collect()
}
