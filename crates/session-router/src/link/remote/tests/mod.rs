//! The link over real sockets: the suite that both links pass, and what only a network does.

mod faults;
mod strangers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dalston_protocol::{LeaseId, RequestId, SessionId, realtime::SessionConfig};
use dalston_telemetry::TraceContext;
use futures_util::future::join;
use tokio::time::timeout;

use super::{ClusterSecret, Liveness, ServerSettings, WebSocketLink, WorkerServer};
use crate::{
    Address,
    conformance::link::Subject,
    link::{FromWorker, SessionChannel, SessionOffer, ToWorker, WorkerChannel, WorkerLink, WorkerPort},
};

const SECRET: &str = "the-secret-of-these-tests";
/// How long anything may take that must happen at all.
const SOON: Duration = Duration::from_secs(10);
/// Soon enough for a test, and longer than a busy machine makes anybody wait.
const LIVENESS: Liveness = Liveness { beat: Duration::from_millis(200), dead_after: Duration::from_millis(1_500) };

fn secret() -> ClusterSecret {
    ClusterSecret::new(SECRET).expect("it is long enough")
}

fn settings() -> ServerSettings {
    let bind = "127.0.0.1:0".parse().expect("it is an address");
    ServerSettings { liveness: LIVENESS, ..ServerSettings::new(bind, secret(), 100) }
}

fn listen(settings: ServerSettings) -> (WorkerServer, WorkerPort) {
    WorkerServer::listen(settings).expect("loopback has a free port")
}

fn url(server: &WorkerServer) -> String {
    let Address::Url(url) = server.address() else { panic!("a server is reached at a URL") };
    url
}

fn link(url: &str) -> WebSocketLink {
    WebSocketLink::new(url, secret(), LIVENESS).expect("it is a worker's address")
}

fn offer() -> SessionOffer {
    SessionOffer {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        tenant: "key_1".into(),
        lease: LeaseId::generate(),
        config: SessionConfig::default(),
        trace: TraceContext::none(),
        continues: None,
    }
}

fn audio(number: u32) -> ToWorker {
    ToWorker::Audio(Bytes::copy_from_slice(&number.to_le_bytes()))
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// Both ends of an open session.
async fn session(link: &WebSocketLink, port: &mut WorkerPort) -> (SessionChannel, WorkerChannel) {
    let accept = async { port.next().await.expect("a gateway is left").accept().expect("the opener waits").1 };
    let (channel, worker) = soon("a session", join(link.open(offer()), accept)).await;
    (channel.expect("the worker accepts"), worker)
}

/// The worker died, as far as the gateway can tell.
async fn is_lost(channel: &mut SessionChannel) -> bool {
    soon("the end", channel.from_worker.recv()).await.is_none()
}

/// The client vanished, as far as the worker can tell.
async fn is_left(worker: &mut WorkerChannel) -> bool {
    while let Some(message) = soon("the end", worker.from_client.recv()).await {
        assert!(matches!(message, ToWorker::Audio(_)), "{message:?}");
    }
    soon("the other direction's end", worker.to_client.closed()).await;
    true
}

async fn subject() -> Subject {
    let (server, port) = listen(settings());
    let link = link(&url(&server));
    // It listens for as long as the test's runtime lives.
    std::mem::forget(server);
    Subject { link: Arc::new(link), port }
}

crate::worker_link_conformance!(tokio::test, subject);

#[tokio::test]
async fn audio_larger_than_a_frame_arrives_whole() {
    let (server, mut port) = listen(settings());
    let (channel, mut worker) = session(&link(&url(&server)), &mut port).await;
    let sent: Bytes = (0..900_000_u32).flat_map(u32::to_le_bytes).collect();
    channel.to_worker.send(ToWorker::Audio(sent.clone())).await.expect("the worker lives");
    drop(channel.to_worker);
    let mut heard = Vec::new();
    while let Some(ToWorker::Audio(bytes)) = soon("audio", worker.from_client.recv()).await {
        assert!(bytes.len() <= super::MAX_AUDIO);
        heard.extend_from_slice(&bytes);
    }
    assert!(heard == sent, "{} of {} bytes", heard.len(), sent.len());
}

#[tokio::test]
async fn a_session_outlives_a_silence_of_both_sides() {
    let (server, mut port) = listen(settings());
    let (mut channel, mut worker) = session(&link(&url(&server)), &mut port).await;
    let over = timeout(LIVENESS.dead_after * 2, async {
        tokio::select! {
            said = channel.from_worker.recv() => panic!("{said:?}"),
            heard = worker.from_client.recv() => panic!("{heard:?}"),
        }
    });
    over.await.expect_err("nobody said anything");
    channel.to_worker.send(audio(1)).await.expect("the worker lives");
    assert_eq!(soon("audio", worker.from_client.recv()).await, Some(audio(1)));
}

/// It thinks for longer than silence is borne, and then answers.
#[tokio::test]
async fn a_worker_may_take_its_time_after_the_clients_last_word() {
    let (server, mut port) = listen(settings());
    let (mut channel, mut worker) = session(&link(&url(&server)), &mut port).await;
    let departure = crate::link::Departure::VANISHED;
    channel.to_worker.send(ToWorker::Gone(departure)).await.expect("the worker lives");
    assert_eq!(soon("the last word", worker.from_client.recv()).await, Some(ToWorker::Gone(departure)));
    let early = timeout(LIVENESS.dead_after * 2, channel.from_worker.recv()).await;
    assert!(early.is_err(), "{early:?}");
    worker.close(dalston_protocol::Close::normal()).await;
    let closed = soon("the close", channel.from_worker.recv()).await;
    assert!(matches!(closed, Some(FromWorker::Closed(_))), "{closed:?}");
}

/// Neither side reads for longer than silence is borne. Nothing is lost, and nobody is blamed.
#[tokio::test]
async fn back_pressure_is_not_taken_for_death() {
    let (server, mut port) = listen(settings());
    let (channel, mut worker) = session(&link(&url(&server)), &mut port).await;
    let chunk = || ToWorker::Audio(Bytes::from(vec![7; 64 * 1024]));
    let mut sent = 0;
    while timeout(LIVENESS.dead_after * 2, channel.to_worker.send(chunk())).await.is_ok() {
        sent += 1;
        assert!(sent < 1_000, "the gateway was never held back");
    }
    for _ in 0..sent {
        assert_eq!(soon("audio", worker.from_client.recv()).await, Some(chunk()));
    }
    soon("room", channel.to_worker.send(chunk())).await.expect("the worker lives");
}

#[tokio::test]
async fn a_server_that_closes_lets_its_sessions_say_their_last_word() {
    let (server, mut port) = listen(settings());
    let (mut channel, worker) = session(&link(&url(&server)), &mut port).await;
    let address = url(&server);
    let closing = tokio::spawn(server.close(SOON));
    let close = dalston_protocol::Close::new(dalston_protocol::CloseCode::Restart, "going down");
    worker.close(close.clone()).await;
    let last = soon("the close", channel.from_worker.recv()).await;
    assert_eq!(last, Some(FromWorker::Closed(Box::new(close))));
    soon("the server's end", closing).await.expect("it does not panic");
    assert!(link(&address).open(offer()).await.is_err(), "nobody listens any more");
}
