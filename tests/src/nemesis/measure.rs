//! How long a fault is felt by live sessions, in numbers.

use std::time::{Duration, Instant};

use dalston_client::{Event, StreamClient};
use dalston_protocol::realtime::{ClientMessage, ServerMessage, SessionConfig};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    task::{block_in_place, spawn_blocking},
    time::{interval, sleep, timeout},
};

use crate::{Server, cluster::Plan, session, speech};

/// 100 ms of audio every 100 ms.
const PIECE: usize = 3_200;
const PACE: Duration = Duration::from_millis(100);
/// For a whole session.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is measured: a name, a number and its unit.
pub type Measures = Vec<(&'static str, f64, &'static str)>;

/// As a table, or for programs.
pub fn json_of(measures: &Measures) -> Value {
    measures.iter().map(|(name, value, unit)| json!({ "name": name, "value": value, "unit": unit })).collect()
}

/// One session as its client hears it: every event with its time.
struct Heard {
    events: Vec<(Instant, ServerMessage)>,
    code: u16,
}

impl Heard {
    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (_, event) in &self.events {
            if let ServerMessage::Final(said) = event {
                words.extend(said.text.split(' ').map(str::to_owned));
            }
        }
        words
    }

    /// The first event of a kind after `from`.
    fn after(&self, from: Instant, is_wanted: impl Fn(&ServerMessage) -> bool) -> Option<f64> {
        let event = self.events.iter().find(|(at, event)| *at >= from && is_wanted(event))?;
        Some((event.0 - from).as_secs_f64())
    }

    /// Between two events.
    fn longest_gap(&self) -> f64 {
        self.events.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).fold(0.0, f64::max)
    }
}

async fn speak(client: StreamClient, audio: Vec<u8>, pace: Duration) -> Heard {
    let (mut sink, mut events) = client.connect().await.expect("the gateway is there");
    let sending = tokio::spawn(async move {
        let mut ticks = interval(pace.max(Duration::from_nanos(1)));
        for piece in audio.chunks(PIECE) {
            ticks.tick().await;
            if sink.send_audio(piece.to_vec()).await.is_err() {
                return;
            }
        }
        // A close says better why it failed.
        let _ = sink.send(&ClientMessage::End).await;
    });
    let mut heard = Heard { events: Vec::new(), code: 0 };
    let listening = async {
        while let Some(Ok(event)) = events.next().await {
            match event {
                Event::Message(event) => heard.events.push((Instant::now(), *event)),
                Event::Closed { code, .. } => heard.code = code,
            }
        }
    };
    timeout(PATIENCE, listening).await.expect("a session ends");
    sending.abort();
    heard
}

fn client(gateway: &Server) -> StreamClient {
    gateway.client(SessionConfig::default())
}

/// Words of `alone` that are not in their place.
fn lost(heard: &[Heard], alone: &Heard) -> usize {
    let expected = alone.words();
    heard
        .iter()
        .map(|one| if one.words() == expected { 0 } else { expected.len().abs_diff(one.words().len()).max(1) })
        .sum()
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (share * (sorted.len() as f64 - 1.0)).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// What a log may say when a worker or Redis is lost on purpose.
fn forgiving(plan: Plan) -> Plan {
    plan.expect("")
}

/// `kill -9` of a worker that has `sessions`, all of which go on at another one.
pub async fn kill_a_worker(sessions: usize) -> Measures {
    let mut cluster = forgiving(Plan::loopback().for_jobs(0, 0)).start().await;
    let audio = speech::demo();
    let alone = speak(client(cluster.gateway()), audio.clone(), Duration::ZERO).await;
    let speakers: Vec<_> =
        (0..sessions).map(|_| tokio::spawn(speak(client(cluster.gateway()), audio.clone(), PACE))).collect();
    // All of them are at the first worker before there is another one.
    sleep(Duration::from_secs(3)).await;
    let process = cluster.process("realtime");
    cluster.realtime.push(spawn_blocking(move || process.start()).await.expect("it starts"));
    sleep(Duration::from_secs(3)).await;
    let killed = Instant::now();
    block_in_place(|| cluster.realtime[0].kill());
    let heard: Vec<Heard> = join_all(speakers).await.into_iter().map(|one| one.expect("it does not panic")).collect();
    let moved = |event: &ServerMessage| matches!(event, ServerMessage::Warning { code, .. } if code == "worker_moved");
    let says = |event: &ServerMessage| !matches!(event, ServerMessage::Warning { .. });
    let sorted = |is_wanted: &dyn Fn(&ServerMessage) -> bool| {
        let mut times: Vec<f64> = heard.iter().filter_map(|one| one.after(killed, is_wanted)).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let (moves, words) = (sorted(&moved), sorted(&says));
    vec![
        ("sessions at the worker that is killed", sessions as f64, ""),
        ("… that went on at another one", moves.len() as f64, ""),
        ("… that ended with 1000", heard.iter().filter(|one| one.code == 1000).count() as f64, ""),
        ("from the kill to the next worker, p50", quantile(&moves, 0.5), "s"),
        ("from the kill to the next worker, p95", quantile(&moves, 0.95), "s"),
        ("from the kill to the next event of the transcript, p50", quantile(&words, 0.5), "s"),
        ("from the kill to the next event of the transcript, p95", quantile(&words, 0.95), "s"),
        ("sessions × words of each", (sessions * alone.words().len()) as f64, ""),
        ("words lost", lost(&heard, &alone) as f64, ""),
    ]
}

/// Redis is killed, and started again after ten seconds.
pub async fn take_redis_away(sessions: usize) -> Measures {
    let mut cluster = forgiving(Plan::loopback().realtime(2).for_jobs(0, 0)).start().await;
    let audio = speech::demo();
    let alone = speak(client(cluster.gateway()), audio.clone(), PACE).await;
    let speakers: Vec<_> =
        (0..sessions).map(|_| tokio::spawn(speak(client(cluster.gateway()), audio.clone(), PACE))).collect();
    sleep(Duration::from_secs(4)).await;
    block_in_place(|| cluster.redis.kill());
    sleep(Duration::from_secs(10)).await;
    block_in_place(|| cluster.redis.restart());
    let heard: Vec<Heard> = join_all(speakers).await.into_iter().map(|one| one.expect("it does not panic")).collect();
    vec![
        ("sessions while Redis is away for 10 s", sessions as f64, ""),
        ("… that ended with 1000", heard.iter().filter(|one| one.code == 1000).count() as f64, ""),
        (
            "longest time without an event, of all of them",
            heard.iter().map(Heard::longest_gap).fold(0.0, f64::max),
            "s",
        ),
        ("the same of a session that nothing happens to", alone.longest_gap(), "s"),
        ("words lost", lost(&heard, &alone) as f64, ""),
    ]
}

/// Forty sessions at once, at two workers that have none.
pub async fn split() -> Measures {
    let cluster = forgiving(Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0)).start().await;
    let open = (0..40).map(|number| {
        let client = client(&cluster.gateways[number % 2]);
        async move { session::open(&client).await }
    });
    let _open = join_all(open).await;
    let workers = block_in_place(|| cluster.gateway().get("/v1/realtime/workers")).json();
    let used = |number: usize| workers["workers"][number]["used"].as_f64().unwrap_or(f64::NAN);
    vec![("of 40 sessions at once, at the one worker", used(0), ""), ("… and at the other", used(1), "")]
}
