//! Faults and bad clients, tried on the real binary.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig};
use dalston_tests::{Server, session, speech};

/// Waits until no session holds a slot.
async fn no_slot_is_used(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = server.get("/v1/realtime/status").json();
        let workers = server.get("/v1/realtime/workers").json();
        let used: u64 =
            workers["workers"].as_array().expect("workers").iter().map(|w| w["used"].as_u64().expect("a number")).sum();
        if used == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "slots are still used: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_answers_open_sessions_and_exits_with_0() {
    let mut server = Server::loopback().start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, mut events, _) = session::open(&client).await;
    let audio = speech::demo();
    sink.send_audio(audio[..64_000].to_vec()).await.expect("the session is open");
    // The first partial says that the audio has arrived.
    while !matches!(session::next(&mut events).await,
        dalston_client::Event::Message(event) if matches!(*event, ServerMessage::Partial { .. }))
    {}
    server.signal("TERM");
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 1012, "{}", heard.reason);
    assert_eq!(heard.finals().len(), 1, "what was received is answered: {:?}", heard.events);
    assert!(heard.has_end());
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_it_is_not_ready_and_takes_no_session() {
    let mut server = Server::loopback().env("DALSTON_LOOPBACK", "delay=3s").start();
    assert_eq!(server.get("/readyz").status, 200);
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, mut events, _) = session::open(&client).await;
    sink.send_audio(speech::demo()[..32_000].to_vec()).await.expect("the session is open");
    server.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match server.try_request("GET", "/readyz", "") {
            Ok(answer) if answer.status == 503 => break,
            Ok(_) => assert!(Instant::now() < deadline, "ready two seconds after SIGTERM"),
            Err(refused) => panic!("the draining server refuses probes: {refused}"),
        }
    }
    assert_eq!(server.get("/healthz").status, 200, "liveness depends on nothing else");
    let (_sink, mut late) = client.connect().await.expect("it still answers");
    assert_eq!(session::rest(&mut late).await.code, 1012);
    assert_eq!(session::rest(&mut events).await.code, 1012);
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let mut server = Server::loopback().env("DALSTON_LOOPBACK", "stall_every=1").expect("ending at once").start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, _events, _) = session::open(&client).await;
    sink.send_audio(speech::demo()[..32_000].to_vec()).await.expect("the session is open");
    server.signal("TERM");
    while server.try_request("GET", "/readyz", "").is_ok_and(|answer| answer.status == 200) {}
    let began = Instant::now();
    server.signal("TERM");
    assert!(!server.wait().success());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_sigterm_is_answered_to_its_end_however_busy_the_engine_is() {
    let mut server = Server::loopback().env("DALSTON_LOOPBACK", "delay_per_second=100ms").start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, mut events, _) = session::open(&client).await;
    // Far more than the queues between the socket and the engine hold.
    let audio: Vec<u8> = speech::demo().iter().copied().cycle().take(32 * 32_000).collect();
    sink.send_audio(audio).await.expect("the session is open");
    sink.send(&ClientMessage::End).await.expect("the session is open");
    // The first partial says that the audio has arrived.
    while !matches!(session::next(&mut events).await,
        dalston_client::Event::Message(event) if matches!(*event, ServerMessage::Partial { .. }))
    {}
    server.signal("TERM");
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 1000, "it had said `end`: {}", heard.reason);
    let Some(ServerMessage::SessionEnd(end)) = heard.events.last() else { panic!("{:?}", heard.events.last()) };
    assert!((end.total_audio_seconds - 32.0).abs() < 1e-6, "{}", end.total_audio_seconds);
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_timeout_is_kept_though_the_engine_never_answers() {
    let mut server = Server::loopback()
        .env("DALSTON_LOOPBACK", "stall_every=1")
        .env("DALSTON_ENGINE_DEADLINE", "1h")
        .env("DALSTON_DRAIN_TIMEOUT", "1s")
        .expect("did not end in time")
        .start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, mut events, _) = session::open(&client).await;
    sink.send_audio(speech::demo()[..32_000].to_vec()).await.expect("the session is open");
    let began = Instant::now();
    server.signal("TERM");
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 1012, "{}", heard.reason);
    assert_eq!(server.wait().code(), Some(0));
    let took = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_millis(2_500)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_server_that_still_starts_with_0() {
    let mut server = Server::with_engine("pocketsphinx").spawn();
    server.logs("starting");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_and_goes_on_keeps_its_sessions() {
    let server = Server::loopback().start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, mut events, _) = session::open(&client).await;
    server.signal("STOP");
    // Longer than a worker may be silent and not be given up.
    tokio::time::sleep(Duration::from_secs(11)).await;
    server.signal("CONT");
    sink.send_audio(speech::demo()[..32_000].to_vec()).await.expect("the session is open");
    sink.send(&ClientMessage::End).await.expect("the session is open");
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert_eq!(heard.finals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_cut_at_the_limit() {
    let server = Server::loopback().env("DALSTON_HEADER_TIMEOUT", "300ms").start();
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has timeouts");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: ").expect("it reads");
    let mut answer = String::new();
    // Either an answer or a reset will do, as long as it ends.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("408"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_vanish_leave_no_slot_behind() {
    let server = Server::loopback().start();
    let client = server.client(SessionConfig::default());
    let mut open = Vec::new();
    for _ in 0..20 {
        let (mut sink, events, _) = session::open(&client).await;
        sink.send_audio(speech::demo()[..100_000].to_vec()).await.expect("the session is open");
        open.push((sink, events));
    }
    let used = server.get("/v1/realtime/workers").json()["workers"][0]["used"].as_u64();
    assert_eq!(used, Some(20));
    drop(open);
    no_slot_is_used(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_more_than_there_is_room_is_told_when_to_come_back() {
    let server = Server::loopback().env("DALSTON_MAX_SESSIONS", "2").start();
    let client = server.client(SessionConfig::default());
    let first = session::open(&client).await;
    let second = session::open(&client).await;
    let (_sink, mut events) = client.connect().await.expect("a refusal is told over the socket");
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 4503);
    let has_retry =
        heard.events.iter().any(|e| matches!(e, ServerMessage::Error { retry_after: Some(s), .. } if *s > 0.0));
    assert!(has_retry, "{:?}", heard.events);
    drop((first, second));
    no_slot_is_used(&server).await;
    session::open(&client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_one_session_is_not_heard_in_another() {
    let server = Server::loopback()
        .env("DALSTON_LOOPBACK", "panic_every=2")
        .expect("utterance was lost")
        .expect("panicked")
        .start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let audio = speech::demo()[..64_000].to_vec();
    let mut codes = Vec::new();
    let mut finals = 0;
    for _ in 0..6 {
        let heard = session::stream(&client, audio.clone(), 6_400, Duration::ZERO).await;
        finals += heard.finals().len();
        codes.push(heard.code);
    }
    assert_eq!(codes, [1000; 6], "an engine's panic ends an utterance, not a session");
    assert_eq!(finals, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_and_nothing_said_is_in_logs_or_metrics() {
    let canary = "canary-5c0ffee";
    let server = Server::loopback().env("LOG_LEVEL", "debug").start();
    let config = SessionConfig { vocabulary: vec![canary.into()], word_timestamps: true, ..SessionConfig::default() };
    let heard = session::stream(&server.client(config), speech::demo(), 3_200, Duration::ZERO).await;
    assert!(!heard.finals().is_empty());
    let refused = server.request("GET", &format!("/v1/nothing?api_key={canary}&token={canary}"), "");
    assert_eq!(refused.status, 404);
    let _ = server.request(
        "GET",
        "/v1/realtime/status",
        &format!("Authorization: Bearer {canary}\r\nCookie: {canary}\r\n"),
    );
    let metrics = server.get("/metrics").body;
    let log = server.log();
    assert!(!log.contains(canary) && !metrics.contains(canary), "{log}");
    // Words of the loopback engine, which are what a transcript would be.
    for said in heard.finals().iter().flat_map(|said| said.text.split(' ')).filter(|word| word.len() > 5) {
        assert!(!log.contains(said) && !metrics.contains(said), "{said} is in the log or the metrics");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalive_keeps_an_idle_session_and_silence_ends_it() {
    let server = Server::loopback().env("DALSTON_IDLE_TIMEOUT", "600ms").start();
    let client = server.client(SessionConfig::default());
    let (mut sink, mut events, _) = session::open(&client).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sink.send(&ClientMessage::Keepalive).await.expect("it is kept open");
    }
    let heard = session::rest(&mut events).await;
    assert_eq!(heard.code, 4408, "{}", heard.reason);
}
