//! What a frame's way costs in process and over a socket: `cargo run --release -p dalston-session-router --example link_cost`.
//!
//! A frame of 20 ms goes to the worker each 20 ms, and an event comes back at once: the time is that of both ways, over
//! loopback for the socket. Opening is from the wish to the worker's answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dalston_protocol::{
    LeaseId, RequestId, SessionId,
    realtime::{ServerMessage, SessionConfig},
};
use dalston_session_router::{
    Address,
    link::{
        ClusterSecret, FromWorker, Liveness, ServerSettings, SessionOffer, ToWorker, WebSocketLink, WorkerLink,
        WorkerPort, WorkerServer, in_process,
    },
};
use dalston_telemetry::TraceContext;

const FRAMES: u32 = 500;
const FRAME: Duration = Duration::from_millis(20);
const BYTES: usize = 640;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = ClusterSecret::new("the-secret-of-an-example")?;
    let (server, far) = WorkerServer::listen(ServerSettings::new("127.0.0.1:0".parse()?, secret.clone(), 10))?;
    let Address::Url(url) = server.address() else { return Err("a server is reached at a URL".into()) };
    let (near_link, near) = in_process();
    let links: [(&str, Arc<dyn WorkerLink>, WorkerPort); 2] = [
        ("in process", Arc::new(near_link), near),
        ("websocket", Arc::new(WebSocketLink::new(&url, secret, Liveness::default())?), far),
    ];
    println!("link        µs open  µs there and back: p50    p99    max");
    for (name, link, port) in links {
        let echoing = tokio::spawn(echo(port));
        let begun = Instant::now();
        let mut channel = link.open(offer()).await?;
        let opened = begun.elapsed();
        let mut times = Vec::new();
        let mut ticks = tokio::time::interval(FRAME);
        for _ in 0..FRAMES {
            ticks.tick().await;
            let sent = Instant::now();
            channel.to_worker.send(ToWorker::Audio(Bytes::from(vec![7; BYTES]))).await?;
            channel.from_worker.recv().await.ok_or("the worker died")?;
            times.push(sent.elapsed().as_micros());
        }
        times.sort_unstable();
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
        println!("{name:10}  {:7}  {:22}  {:5}  {:5}", opened.as_micros(), at(50), at(99), at(100));
        echoing.abort();
    }
    Ok(())
}

async fn echo(mut port: WorkerPort) {
    let Some((_, mut channel)) = port.next().await.and_then(|incoming| incoming.accept()) else { return };
    while channel.from_client.recv().await.is_some() {
        let event = ServerMessage::SpeechStart { timestamp: 1.0, channel: None };
        if channel.to_client.send(FromWorker::Event(Box::new(event))).await.is_err() {
            return;
        }
    }
}

fn offer() -> SessionOffer {
    SessionOffer {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        tenant: "anonymous".into(),
        lease: LeaseId::generate(),
        config: SessionConfig::default(),
        trace: TraceContext::none(),
        continues: None,
    }
}
