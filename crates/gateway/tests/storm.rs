//! Hundreds of sessions in which both sides do anything at any time. Whatever happens: each has one end (RT1), no slot
//! is leaked (RT7), and the gateway still serves.

mod support;

use std::time::Duration;

use dalston_protocol::{ApiError, Close, CloseCode, ErrorCode, realtime::ServerMessage};
use dalston_session_router::link::{FromWorker, ToWorker};
use dalston_telemetry::SessionOutcome;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use support::{LONG, Server, Session, partial, transcript, wire::frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const SESSIONS: usize = 400;
/// All waits are short, so that each of them ends some sessions.
const SHORT: &str = "[stream]\nidle_timeout = 0.4\nping_interval = 0.2\nwrite_timeout = 0.2\nclose_timeout = 0.1\n\
                     worker_timeout = 0.3\nmax_duration = 0.8";

/// A client that does up to thirty things, then leaves in one way or another.
async fn client(mut stream: TcpStream, mut random: StdRng) {
    for _ in 0..random.random_range(0..30) {
        let size = random.random_range(0..20_000);
        let bytes = match random.random_range(0..100) {
            0..50 => frame(0x82, &vec![7; size]),
            50..55 => [frame(0x02, &vec![7; size]), frame(0x89, b"x"), frame(0x80, &vec![7; size])].concat(),
            55..60 => frame(0x81, br#"{"type":"flush"}"#),
            60..65 => frame(0x81, br#"{"type":"keepalive"}"#),
            65..66 => frame(0x81, br#"{"type":"keepalive"}"#).repeat(200),
            66..68 => frame(0x81, br#"{"type":"end"}"#),
            68..69 => frame(0x81, b"nonsense"),
            69..70 => frame(0x81, &[0xFF]),
            70..71 => frame(0x88, &1000_u16.to_be_bytes()),
            71..72 => frame(0x82, &vec![7; 2 << 20]),
            72..85 => frame(0x8A, b""),
            85..95 => {
                let mut scrap = [0; 4096];
                let _ = timeout(Duration::from_millis(20), stream.read(&mut scrap)).await;
                continue;
            }
            _ => {
                sleep(Duration::from_millis(random.random_range(0..200))).await;
                continue;
            }
        };
        // A gateway that reads nothing is left after a while, in the middle of a frame.
        if !matches!(timeout(Duration::from_millis(500), stream.write_all(&bytes)).await, Ok(Ok(()))) {
            break;
        }
    }
    if random.random_bool(0.7) {
        let _ = timeout(Duration::from_millis(500), stream.write_all(&frame(0x81, br#"{"type":"end"}"#))).await;
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut rest)).await;
    }
}

/// The link's contract: at most one last word, and nothing behind it.
fn check_order(received: Option<&ToWorker>, closed: &mut bool) {
    assert!(received.is_none() || !*closed, "{received:?} came behind the last word");
    *closed |= matches!(received, Some(ToWorker::Close(_) | ToWorker::Gone(_)));
}

/// A worker that does up to thirty things, then ends in one way or another, or never.
async fn worker(mut session: Session, mut random: StdRng) {
    let mut closed = false;
    for _ in 0..random.random_range(0..30) {
        match random.random_range(0..100) {
            0..50 => {
                let received = timeout(Duration::from_millis(50), session.channel.from_client.recv()).await;
                check_order(received.ok().flatten().as_ref(), &mut closed);
            }
            50..90 => {
                let text = "word ".repeat(random.random_range(0..4_000));
                let event = if random.random_bool(0.5) { partial(1, &text) } else { transcript(1, &text) };
                let send = session.channel.to_client.send(FromWorker::Event(Box::new(event)));
                let _ = timeout(Duration::from_millis(50), send).await;
            }
            _ => sleep(Duration::from_millis(random.random_range(0..200))).await,
        }
    }
    match random.random_range(0..5) {
        0 => {}
        1 => {
            let error = ServerMessage::error(&ApiError::new(ErrorCode::EngineFailed, "it fell over"), false);
            let _ = session.channel.to_client.try_send(FromWorker::Event(Box::new(error)));
            let _ =
                session.channel.to_client.try_send(FromWorker::Closed(Box::new(Close::new(CloseCode::Internal, ""))));
        }
        // Takes nothing, says nothing, holds on.
        2 => sleep(Duration::from_secs(3)).await,
        _ => {
            while let Ok(Some(received)) = timeout(Duration::from_secs(2), session.channel.from_client.recv()).await {
                check_order(Some(&received), &mut closed);
            }
            session.finish().await;
        }
    }
}

/// `STORM_SEED=1000 cargo test --test storm` is another storm.
fn first_seed() -> u64 {
    std::env::var("STORM_SEED").ok().map_or(0, |seed| seed.parse().expect("STORM_SEED is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_of_a_storm_has_one_end_and_no_slot_is_leaked() {
    let mut server = Server::start(SHORT).await;
    let mut storm = JoinSet::new();
    for seed in (0..SESSIONS as u64).map(|n| n + first_seed()) {
        let stream = server.connect_raw("").await;
        storm.spawn(client(stream, StdRng::seed_from_u64(seed)));
        let session = server.session().await;
        storm.spawn(worker(session, StdRng::seed_from_u64(!seed)));
    }
    while let Some(ended) = storm.join_next().await {
        ended.expect("neither side panics");
    }
    let ended = || SessionOutcome::ALL.map(|outcome| server.metrics.sessions_ended(outcome));
    let all_ended = async {
        while server.metrics.sessions_open.get() > 0 || ended().iter().sum::<u64>() < SESSIONS as u64 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(LONG, all_ended).await.is_err() {
        panic!("{} sessions do not end, {:?} did", server.metrics.sessions_open.get(), ended());
    }
    assert_eq!(ended().iter().sum::<u64>(), SESSIONS as u64, "a session ended twice");
    assert_eq!(server.used().await, 0, "a slot is leaked");
    let kinds = ended().iter().filter(|count| **count > 0).count();
    assert!(kinds >= 6, "a storm with only {kinds} kinds of ends proves little");

    let mut calm = server.connect("").await;
    server.session().await.finish().await;
    assert_eq!(calm.rest().await.1, 1000);
    drop(calm);
    let metrics = server.metrics.clone();
    server.stop().await;
    assert_eq!(metrics.connections_open.get(), 0, "a connection is leaked");
}
