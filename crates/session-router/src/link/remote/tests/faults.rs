//! Networks and processes that fail in the middle of a session.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::*;

/// A network between the two that can be cut or frozen.
struct Network {
    address: SocketAddr,
    /// Set: bytes are carried.
    flows: watch::Sender<bool>,
    carrying: JoinHandle<()>,
}

impl Network {
    async fn to(server: &WorkerServer) -> Self {
        let target = url(server).trim_start_matches("ws://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (flows, watched) = watch::channel(true);
        let carrying = tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.expect("somebody comes");
            let mut far = TcpStream::connect(target).await.expect("the worker listens");
            let mut watched = watched;
            loop {
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => return,
                    frozen = watched.wait_for(|flows| !flows) => frozen.map(drop).expect("the test holds it"),
                }
                watched.wait_for(|flows| *flows).await.expect("the test holds it");
            }
        });
        Self { address, flows, carrying }
    }

    fn link(&self) -> WebSocketLink {
        link(&format!("ws://{}", self.address))
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_seen_by_both_sides_at_once() {
    let (server, mut port) = listen(settings());
    let network = Network::to(&server).await;
    let (mut channel, mut worker) = session(&network.link(), &mut port).await;
    channel.to_worker.send(audio(1)).await.expect("the worker lives");
    assert_eq!(soon("audio", worker.from_client.recv()).await, Some(audio(1)));
    network.carrying.abort();
    assert!(is_lost(&mut channel).await && is_left(&mut worker).await);
    soon("the gateway's own end", channel.to_worker.closed()).await;
}

#[tokio::test]
async fn a_network_that_carries_nothing_is_given_up_by_both_sides() {
    let (server, mut port) = listen(settings());
    let network = Network::to(&server).await;
    let (mut channel, mut worker) = session(&network.link(), &mut port).await;
    network.flows.send_replace(false);
    let began = std::time::Instant::now();
    assert!(is_lost(&mut channel).await && is_left(&mut worker).await);
    assert!(began.elapsed() >= LIVENESS.dead_after - LIVENESS.beat, "silence is borne for a while");
}

#[tokio::test]
async fn a_hiccup_of_the_network_costs_nothing() {
    let (server, mut port) = listen(settings());
    let network = Network::to(&server).await;
    let (mut channel, mut worker) = session(&network.link(), &mut port).await;
    network.flows.send_replace(false);
    channel.to_worker.send(audio(1)).await.expect("there is room");
    tokio::time::sleep(LIVENESS.dead_after / 3).await;
    network.flows.send_replace(true);
    assert_eq!(soon("audio", worker.from_client.recv()).await, Some(audio(1)));
    worker.to_client.send(FromWorker::Closed(Box::new(dalston_protocol::Close::normal()))).await.expect("it listens");
    assert!(matches!(soon("the close", channel.from_worker.recv()).await, Some(FromWorker::Closed(_))));
}

/// The process is gone, and with it its sockets: all of its sessions are seen to end, each without a close.
#[tokio::test]
async fn a_server_that_dies_takes_its_sessions_with_it() {
    let (server, mut port) = listen(settings());
    let link = link(&url(&server));
    let (mut one, _one) = session(&link, &mut port).await;
    let (mut two, _two) = session(&link, &mut port).await;
    drop(server);
    assert!(is_lost(&mut one).await && is_lost(&mut two).await);
    assert!(matches!(soon("an answer", link.open(offer())).await, Err(crate::link::Refusal::Unreachable(_))));
}

#[tokio::test]
async fn a_gateway_that_hears_nothing_more_still_has_its_audio_taken() {
    let (server, mut port) = listen(settings());
    let (channel, mut worker) = session(&link(&url(&server)), &mut port).await;
    drop(channel.from_worker);
    for number in 0..100 {
        worker.to_client.send(FromWorker::Event(Box::new(event()))).await.expect("the link takes it");
        channel.to_worker.send(audio(number)).await.expect("the worker lives");
        assert_eq!(soon("audio", worker.from_client.recv()).await, Some(audio(number)));
    }
    drop(channel.to_worker);
    assert!(is_left(&mut worker).await);
}

fn event() -> dalston_protocol::realtime::ServerMessage {
    dalston_protocol::realtime::ServerMessage::SpeechStart { timestamp: 1.0, channel: None }
}
