//! Live sessions whose connections and gateways are lost: real processes, and every word arrives exactly once (RT2).

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dalston_client::{Endpoint, Event, Events, Sink, StreamClient};
use dalston_protocol::realtime::{ClientMessage, Retention, ServerMessage, SessionConfig, SessionEnd, TranscriptFinal};
use dalston_tests::{
    Collector, Server,
    cluster::{Cluster, Plan},
    session::{self, Heard, PACE, PIECE, side_by_side, undisturbed},
    speech, trace,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

const SESSIONS: usize = 8;

fn endpoint(server: &Server) -> Endpoint {
    format!("http://{}", server.address()).parse().expect("an address is an endpoint")
}

/// A client of the first gateway that knows of the second.
fn client(cluster: &Cluster, config: SessionConfig) -> StreamClient {
    cluster.gateways[0].client(config).resumable(true).or_at(endpoint(&cluster.gateways[1]))
}

/// It says what `alone` says, in one session. How often it was resumed.
fn is_whole(heard: &Heard, alone: &Heard) -> usize {
    assert!(alone.finals().len() > 2);
    let mut begun = Vec::new();
    for event in &heard.events {
        if let ServerMessage::SessionBegin { session_id, resumed, .. } = event {
            assert_eq!(*session_id, heard.end().session_id);
            assert_eq!(resumed.is_some(), !begun.is_empty());
            begun.push(session_id);
        }
    }
    let resumed = begun.len() - 1;
    heard.assert_says_what(alone, resumed);
    resumed
}

async fn all_are_whole(sessions: Vec<JoinHandle<Heard>>, alone: &Heard) -> Vec<Heard> {
    let mut all = Vec::new();
    for one in sessions {
        let heard = one.await.expect("a client does not panic");
        assert_eq!(is_whole(&heard, alone), 1, "it was resumed once");
        all.push(heard);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_takes_no_word_with_it() {
    let mut cluster = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let config = SessionConfig { retention: Retention::Days(1), ..SessionConfig::default() };
    let sessions = side_by_side(&client(&cluster, config), SESSIONS, &audio);
    sleep(Duration::from_secs(6)).await;
    cluster.gateways[0].kill();
    let all = all_are_whole(sessions, &alone).await;
    assert_eq!(cluster.gateways[1].metric("dalston_sessions_resumed_total"), Some(SESSIONS as f64));
    let behind: Vec<f64> = cluster.gateways[1]
        .log()
        .of_event("a session was resumed")
        .iter()
        .filter_map(|line| line["behind"].as_f64())
        .collect();
    println!("seconds of audio that were said again: {behind:?}");

    for heard in all {
        is_kept_whole(&cluster.gateways[1], heard.end());
    }
}

/// What is kept of the session is what its client was told in the end.
fn is_kept_whole(gateway: &Server, end: &SessionEnd) {
    let kept = gateway.get(&format!("/v1/realtime/sessions/{}", end.session_id));
    assert_eq!(kept.status, 200, "{}", kept.body);
    let kept = kept.json();
    assert_eq!(kept["transcript"]["text"], end.transcript.as_str(), "{kept}");
    assert_eq!(kept["outcome"], "completed", "{kept}");
    assert_eq!(kept["speech_seconds"].as_f64(), Some(end.total_speech_duration), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_goes_down_sends_its_clients_to_the_next_one() {
    let mut cluster = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let sessions = side_by_side(&client(&cluster, SessionConfig::default()), SESSIONS, &audio);
    sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    assert!(tokio::task::block_in_place(|| cluster.gateways[0].stop()).success());
    println!("the gateway ended {:?} after SIGTERM", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    all_are_whole(sessions, &alone).await;
}

/// A session at `server`, to be gone on with by hand.
fn by_hand(server: &Server, query: &str) -> StreamClient {
    StreamClient::new(format!("http://{}?{query}", server.address()).parse().expect("an address is an endpoint"))
}

/// A session that has heard half of its audio, and of which something is acknowledged.
struct HalfWay {
    _sink: Sink,
    events: Events,
    token: String,
    received: u64,
    heard: Vec<TranscriptFinal>,
}

impl HalfWay {
    async fn at(server: &Server, query: &str, audio: &[u8]) -> Self {
        let (mut sink, events, begin) = session::open(&by_hand(server, &format!("resumable=true&{query}"))).await;
        let ServerMessage::SessionBegin { resume: Some(offer), .. } = begin else { panic!("no token") };
        sink.send_audio(audio[..audio.len() / 2].to_vec()).await.expect("it takes audio");
        let mut it = Self { _sink: sink, events, token: offer.token.into(), received: 0, heard: Vec::new() };
        while it.received == 0 || it.heard.is_empty() {
            match session::next(&mut it.events).await {
                Event::Message(event) => it.hears(*event),
                Event::Closed { code, reason } => panic!("{code} {reason}"),
            }
        }
        it
    }

    fn hears(&mut self, event: ServerMessage) {
        match event {
            ServerMessage::AudioAck { bytes } => self.received = bytes,
            ServerMessage::Final(said) => self.heard.push(said),
            _ => {}
        }
    }

    /// How it is gone on with.
    fn query(&self) -> String {
        let last = self.heard.last().map(|said| said.utterance_id.as_str()).unwrap_or_default();
        format!("resume={}&received={}&last_final={last}", self.token, self.received)
    }

    /// Sends what is asked for on the connection that it goes on at, and hears the rest of what `alone` says.
    async fn goes_on(
        &self,
        (mut sink, mut events, begin): (Sink, Events, ServerMessage),
        audio: &[u8],
        alone: &Heard,
    ) -> Heard {
        let ServerMessage::SessionBegin { resumed: Some(resumed), .. } = begin else { panic!("{begin:?}") };
        assert!(resumed.bytes >= self.received);
        sink.send_audio(audio[resumed.bytes as usize..].to_vec()).await.expect("it takes audio");
        sink.send(&ClientMessage::End).await.expect("it takes messages");
        let rest = session::rest(&mut events).await;
        assert_eq!(rest.code, 1000, "{}", rest.reason);
        let texts: Vec<&str> = self.heard.iter().map(|said| &*said.text).chain(rest.texts()).collect();
        assert_eq!(texts, alone.texts());
        rest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_resumed_at_the_other_gateway_while_the_first_still_believes_to_have_it() {
    let cluster = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let mut first = HalfWay::at(&cluster.gateways[0], "", &audio).await;
    let second = session::open(&by_hand(&cluster.gateways[1], &first.query())).await;
    let began = Instant::now();
    let told = session::rest(&mut first.events).await;
    assert_eq!(told.code, 4409, "{}", told.reason);
    println!("the first connection was told {:?} after the second had begun", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(told.finals().is_empty(), "nothing is said twice: {:?}", told.finals());
    first.goes_on(second, &audio, &alone).await;
}

/// Its worker gives it up and keeps the half that it had, when the whole is kept already.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stands_still_takes_nothing_from_what_is_kept_of_the_session_it_had() {
    let plan = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0);
    let expected = ["a worker was lost", "looks for another worker", "heartbeat", "Redis"];
    let cluster = expected.iter().fold(plan, |plan, line| plan.expect(line)).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let first = HalfWay::at(&cluster.gateways[0], "retention=1", &audio).await;
    cluster.gateways[0].signal("STOP");
    let second = session::open(&by_hand(&cluster.gateways[1], &first.query())).await;
    let rest = first.goes_on(second, &audio, &alone).await;
    is_kept_whole(&cluster.gateways[1], rest.end());
    let keeps_its_half = async {
        while !cluster.realtime.iter().any(|worker| worker.log().contains("is kept as it ended there")) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), keeps_its_half).await.expect("it finds its gateway dead");
    is_kept_whole(&cluster.gateways[1], rest.end());
    cluster.gateways[0].signal("CONT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_gateway_that_was_told_to_end() {
    let plan = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0).env("DALSTON_DRAIN_TIMEOUT", "2s");
    let mut cluster = plan.start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let mut first = HalfWay::at(&cluster.gateways[0], "", &audio).await;
    assert!(tokio::task::block_in_place(|| cluster.gateways[0].stop()).success());
    let told = session::rest(&mut first.events).await;
    assert_eq!(told.code, 1012, "{}", told.reason);
    told.events.into_iter().for_each(|event| first.hears(event));
    // So late that the gateway itself has long since given it up.
    sleep(Duration::from_secs(10)).await;
    let second = session::open(&by_hand(&cluster.gateways[1], &first.query())).await;
    first.goes_on(second, &audio, &alone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_one_trace_through_both_gateways() {
    let collector = Collector::start();
    let plan = Plan::loopback().gateways(2).for_jobs(0, 0).traced_to(&collector.endpoint);
    let mut cluster = plan.start().await;
    let client = client(&cluster, SessionConfig::default());
    let speaking = tokio::spawn(async move { session::stream(&client, speech::demo(), PIECE, PACE).await });
    sleep(Duration::from_secs(4)).await;
    assert!(tokio::task::block_in_place(|| cluster.gateways[0].stop()).success());
    let heard = speaking.await.expect("a client does not panic");
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    for process in [&mut cluster.gateways[1], &mut cluster.realtime[0]] {
        tokio::task::block_in_place(|| process.stop());
    }
    let traces = trace::by_trace(collector.spans());
    let trace = traces.iter().find(|trace| !trace.named("session_router.allocate").is_empty()).expect("it is traced");
    assert_eq!(trace.named("session_router.allocate").len(), 2, "{}", trace.tree());
    assert_eq!(trace.named("realtime.session").len(), 2, "{}", trace.tree());
    let root = trace.only("WebSocket /v1/audio/transcriptions/stream");
    assert_eq!(root.attributes()["dalston.outcome"], "moved");
    let again = traces
        .iter()
        .flat_map(|trace| trace.named("WebSocket /v1/audio/transcriptions/stream"))
        .find(|span| span.attributes().contains_key("dalston.session.resumes"))
        .expect("the second connection has a span");
    assert_eq!(again.attributes()["session.id"], root.attributes()["session.id"]);
    assert!(again.span.events.iter().any(|event| event.name == "session_resumed"));
    assert_eq!(again.span.links.len(), 1);
    assert_eq!(again.span.links[0].span_id, root.span.span_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stands_still_and_then_forgets_everything_costs_no_word() {
    let plan = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0);
    let expected = ["Redis", "registry", "slot", "heartbeat"];
    let mut cluster = expected.iter().fold(plan, |plan, line| plan.expect(line)).start().await;
    let audio = speech::demo();
    let alone = undisturbed(cluster.gateway(), &audio).await;
    let client = client(&cluster, SessionConfig::default());
    let (sender, pieces) = tokio::sync::mpsc::channel(1);
    let speaking = tokio::spawn({
        let audio = audio.clone();
        async move {
            let (mut sink, mut events) = client.connect().await.expect("the server takes connections");
            let sending = tokio::spawn(async move {
                let mut ticks = tokio::time::interval(PACE);
                for piece in audio.chunks(PIECE) {
                    ticks.tick().await;
                    sink.send_audio(piece.to_vec()).await.expect("the session goes on");
                }
                sink.send(&ClientMessage::End).await.expect("the session goes on");
            });
            let mut heard = Heard { events: Vec::new(), code: 0, reason: String::new() };
            loop {
                match session::next(&mut events).await {
                    Event::Message(event) => {
                        if matches!(*event, ServerMessage::Final(_)) {
                            let _ = sender.send(Instant::now()).await;
                        }
                        heard.events.push(*event);
                    }
                    Event::Closed { code, reason } => {
                        sending.await.expect("it does not panic");
                        return Heard { code, reason, ..heard };
                    }
                }
            }
        }
    });
    let mut finals = pieces;
    finals.recv().await.expect("a first final");
    cluster.redis.stop();
    // Nobody can write anything down, and the next one is told all the same.
    tokio::time::timeout(Duration::from_secs(15), finals.recv()).await.expect("in time").expect("another final");
    cluster.redis.cont();
    cluster.redis.ask(&["FLUSHALL"]);
    // Long enough to be told everything anew.
    sleep(Duration::from_secs(3)).await;
    cluster.gateways[0].kill();
    finals.close();
    let heard = speaking.await.expect("a client does not panic");
    assert_eq!(is_whole(&heard, &alone), 1);
}

/// A way to a server that breaks: each connection ends in the middle of something, the first few of them.
struct Bad {
    endpoint: Endpoint,
    breaks: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Bad {
    async fn way_to(server: &Server, seed: u64, most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (there, breaks) = (server.address().to_owned(), Arc::new(AtomicU64::new(0)));
        let mut serving = JoinSet::new();
        let counted = breaks.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for n in 0.. {
                let (near, _) = listener.accept().await.expect("it accepts");
                let far = TcpStream::connect(&there).await.expect("the server is there");
                let chance = |what: u64| chance(seed, n, what);
                // Bytes that still get through, this way and that.
                let (up, down) = (600 + chance(0) % 300_000, chance(1) % 4_000);
                let (up, down) = match n {
                    // The first one tells the client how to come back.
                    0 => (u64::MAX, down + 1_500),
                    n if n < most => (up, down),
                    _ => (u64::MAX, u64::MAX),
                };
                let breaks = counted.clone();
                connections.spawn(async move {
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near_in, far_out, up) => {}
                        () = carry(far_in, near_out, down) => {}
                    }
                    breaks.fetch_add(1, Relaxed);
                });
            }
        });
        let endpoint = format!("http://{address}").parse().expect("an address is an endpoint");
        Self { endpoint, breaks, _serving: serving }
    }
}

fn chance(seed: u64, connection: u64, what: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, connection, what).hash(&mut hasher);
    hasher.finish()
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut left: u64) {
    let mut buffer = vec![0; 16 * 1024];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        left -= read as u64;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_its_connections_break_a_session_says_what_it_says_undisturbed() {
    const SEEDS: u64 = 32;
    let server = Server::loopback().start();
    let audio = speech::demo();
    let alone = undisturbed(&server, &audio).await;
    let mut sessions = JoinSet::new();
    for seed in 0..SEEDS {
        let way = Bad::way_to(&server, seed, 6).await;
        let client = StreamClient::new(way.endpoint.clone()).resumable(true);
        let (audio, alone) = (audio.clone(), alone.clone());
        sessions.spawn(async move {
            let way = way;
            // As fast as it goes, or ten times as fast as it was spoken.
            let gap = if seed % 2 == 0 { Duration::ZERO } else { PACE / 10 };
            let heard = session::stream(&client, audio, 640 * (1 + seed as usize % 7), gap).await;
            println!("seed {seed}: {} breaks", way.breaks.load(Relaxed));
            is_whole(&heard, &alone)
        });
    }
    let resumed: Vec<usize> = sessions.join_all().await;
    println!("resumed: {resumed:?}");
    assert!(resumed.iter().sum::<usize>() > SEEDS as usize, "{resumed:?}");
}
