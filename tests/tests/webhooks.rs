//! Webhooks of a whole server: a real process ends jobs and tells a real receiver, which may be slow, wrong or hostile.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use dalston_tests::{
    Server, http,
    jobs::{Form, PATH, wav},
    receiver::{Does, Heard, Receiver},
    server::Builder,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// A server that may call 127.0.0.1, and nothing else that is not public; and is not patient.
fn server() -> Builder {
    let server = Server::loopback().env("DALSTON_EGRESS_ALLOW", "127.0.0.1");
    server.env("DALSTON_WEBHOOK_RETRIES", "100ms,100ms,1h").env("DALSTON_WEBHOOK_TIMEOUT", "2s")
}

/// Half a second of nothing: a job that ends at once.
fn short() -> Form {
    Form::file("short.wav", &wav(&[0; 16_000]))
}

fn register(server: &Server, url: &str) -> Value {
    let body = json!({ "url": url, "events": ["job.completed"] }).to_string();
    let answer = server.send("POST", "/v1/webhooks", "", body.as_bytes()).expect("the server answers");
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

/// What a library of Standard Webhooks checks.
fn is_signed(message: &Heard, webhook: &Value) -> bool {
    let secret = webhook["secret"].as_str().and_then(|secret| secret.strip_prefix("whsec_")).expect("a secret");
    let key = STANDARD.decode(secret).expect("base64");
    let (id, timestamp) = (message.header("webhook-id"), message.header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{id}.{timestamp}.{}", message.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    message.header("webhook-signature").split(' ').any(|signature| signature == expected)
}

fn job_of(message: &Heard) -> String {
    let body: Value = serde_json::from_str(&message.body).expect("JSON");
    assert_eq!(body["type"], "job.completed");
    body["data"]["id"].as_str().expect("a job").to_owned()
}

/// What became of the messages to a webhook, when `done` says so.
fn deliveries(server: &Server, webhook: &Value, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let path = format!("/v1/webhooks/{}/deliveries", webhook["id"].as_str().expect("an id"));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let items = answer.json()["items"].as_array().cloned().expect("a list");
        if done(&items) {
            return items;
        }
        assert!(Instant::now() < deadline, "{items:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_end_is_told_signed_and_when_its_result_can_be_read() {
    let server = server().start();
    let address = server.address().to_owned();
    let receiver = Receiver::start(move |message| {
        // Asked before the message is taken.
        let path = format!("{PATH}/{}/export/json", job_of(message));
        let result = http::exchange(&address, "GET", &path, "", &[]).expect("the server answers");
        Does::Answers(if result.status == 200 { 200 } else { 410 }, Vec::new())
    });
    let webhook = register(&server, &receiver.url("/hook?tenant=1"));
    let jobs: Vec<String> = (0..5).map(|_| short().submit(&server)).collect();
    let mut told: Vec<String> = Vec::new();
    for _ in &jobs {
        let message = receiver.next();
        assert!(is_signed(&message, &webhook), "{message:?}");
        assert_eq!((message.path.as_str(), message.header("content-type")), ("/hook?tenant=1", "application/json"));
        told.push(job_of(&message));
    }
    told.sort_unstable();
    let mut all = jobs.clone();
    all.sort_unstable();
    assert_eq!(told, all);
    let delivered = deliveries(&server, &webhook, |items| items.iter().all(|item| item["ended_at"].is_string()));
    for item in &delivered {
        assert_eq!((&item["answered"], &item["attempts"]), (&200.into(), &1.into()), "told too early: {item}");
    }
    assert_eq!((delivered.len(), receiver.others().len()), (jobs.len(), 0));
}

#[test]
fn what_is_not_taken_is_told_again_as_the_same_message_until_it_is() {
    let server = server().start();
    let tries = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| {
        let status = if tries.fetch_add(1, SeqCst) < 2 { 500 } else { 200 };
        Does::Answers(status, b"not now".to_vec())
    });
    let webhook = register(&server, &receiver.url("/"));
    let id = short().submit(&server);
    let attempts: Vec<Heard> = (0..3).map(|_| receiver.next()).collect();
    for attempt in &attempts {
        assert!(is_signed(attempt, &webhook), "{attempt:?}");
        assert_eq!(attempt.header("webhook-id"), attempts[0].header("webhook-id"));
        assert_eq!(attempt.body, attempts[0].body);
    }
    let delivered = deliveries(&server, &webhook, |items| items[0]["ended_at"].is_string());
    let told = &delivered[0];
    assert_eq!((&told["job_id"], &told["attempts"], &told["answered"]), (&id.into(), &3.into(), &200.into()));
    assert_eq!(told["id"], attempts[0].header("webhook-id"));
    assert!(receiver.others().is_empty(), "told again after it was taken");
}

#[test]
fn receivers_that_hang_lead_inward_or_answer_without_end_hold_up_nobody() {
    const TEN_GIB: u64 = 10 << 30;
    const JOBS: usize = 12;
    // Another address of this machine, which is not among the allowed ones.
    let inside = Receiver::at("127.0.0.2:0", |_| Does::Answers(200, Vec::new()));
    let secret = inside.url("/latest/meta-data");
    let hanging = Receiver::start(|_| Does::Hangs);
    let leading_inward = Receiver::start(move |_| Does::Redirects(secret.clone()));
    let flooding = Receiver::start(|_| Does::Floods(TEN_GIB));
    let good = Receiver::start(|_| Does::Answers(204, Vec::new()));
    let server = server().start();
    let [hangs, leads, floods] = [&hanging, &leading_inward, &flooding].map(|to| register(&server, &to.url("/")));
    register(&server, &good.url("/"));
    let refused = json!({ "url": inside.url("/") }).to_string();
    let refused = server.send("POST", "/v1/webhooks", "", refused.as_bytes()).expect("the server answers");
    assert_eq!((refused.status, refused.code()), (400, "invalid_parameter".to_owned()));

    let before = resident_kib(&server);
    let jobs: Vec<String> = (0..JOBS).map(|_| short().submit(&server)).collect();
    let began = Instant::now();
    let mut told: Vec<String> = jobs.iter().map(|_| job_of(&good.next())).collect();
    let took = began.elapsed();
    told.sort_unstable();
    let mut all = jobs;
    all.sort_unstable();
    assert_eq!(told, all);
    // One that hangs is given two seconds, four at a time: in its turn, the last would wait for six.
    eprintln!("{JOBS} ends were told to the good receiver within {took:?}");

    let tried = |items: &[Value], what: &str| items.iter().any(|item| item["problem"] == what);
    deliveries(&server, &hangs, |items| tried(items, "timeout"));
    // A status that is no 2xx takes nothing; nobody follows it.
    deliveries(&server, &leads, |items| items.iter().any(|item| item["answered"] == 302));
    // Taken by its status; of its body nothing is read.
    deliveries(&server, &floods, |items| items.iter().all(|item| item["answered"] == 200));
    assert!(inside.others().is_empty(), "a webhook led inside");
    let sent = flooding.sent();
    // Kernels' buffers, and no more.
    assert!(sent < JOBS as u64 * (16 << 20), "{sent} bytes were taken");
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 64 * 1024, "the server grew by {grown} KiB");
}

fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
