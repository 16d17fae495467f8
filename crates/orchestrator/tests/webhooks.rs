//! Jobs' ends told to a real receiver, whatever it does.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{
    collections::HashMap,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use dalston_broker::InProcessBroker;
use dalston_egress::Client;
use dalston_orchestrator::{Orchestrator, Settings, WebhookSettings};
use dalston_protocol::{
    JobId, RequestId, WebhookEvent,
    job::{JobParameters, JobStatus},
};
use dalston_store::{Artifacts, Change, Created, JobStore, NewJob, NewWebhook, SigningSecret, Source};
use dalston_telemetry::{Metrics, Options, RingLimits, SpanCounters, SpanRecord, TelemetryGuard, TraceRing, Tracers};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const TENANT: &str = "key_1";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Far above what anything here takes; only a bug waits so long.
const LONG: Duration = Duration::from_secs(20);

/// What a receiver does with a message.
#[derive(Clone)]
enum Does {
    Answers(String),
    Hangs,
    /// An answer without an end.
    Floods,
}

fn status(status: u16) -> Does {
    Does::Answers(format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n"))
}

/// A message as it was received.
#[derive(Debug, Clone)]
struct Message {
    headers: HashMap<String, String>,
    body: String,
}

impl Message {
    fn header(&self, name: &str) -> &str {
        &self.headers[name]
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

struct Receiver {
    address: SocketAddr,
    messages: mpsc::UnboundedReceiver<Message>,
    _serving: JoinSet<()>,
}

impl Receiver {
    /// Does these things in their order, and the last again and again.
    async fn that(does: impl IntoIterator<Item = Does>) -> Self {
        Self::at("127.0.0.1:0", does).await
    }

    async fn at(address: &str, does: impl IntoIterator<Item = Does>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut does: Vec<Does> = does.into_iter().collect();
        does.reverse();
        let (sender, messages) = mpsc::unbounded_channel();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let does = if does.len() > 1 { does.pop().unwrap() } else { does[0].clone() };
                let sender = sender.clone();
                open.spawn(async move {
                    let Some(message) = receive(&mut stream).await else { return };
                    sender.send(message).unwrap();
                    answer(stream, does).await;
                });
            }
        });
        Self { address, messages, _serving: serving }
    }

    async fn message(&mut self) -> Message {
        timeout(LONG, self.messages.recv()).await.expect("no message came").unwrap()
    }

    fn url(&self) -> String {
        format!("http://{}/hook?token=hunter2", self.address)
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Message> {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8(received.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST /hook?token=hunter2 HTTP/1.1"), "{head}");
            let headers: HashMap<_, _> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            if body.len() == headers["content-length"].parse::<usize>().unwrap() {
                return Some(Message { headers, body: body.to_owned() });
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.extend_from_slice(&piece[..read]),
        }
    }
}

async fn answer(mut stream: TcpStream, does: Does) {
    match does {
        Does::Answers(answer) => drop(stream.write_all(answer.as_bytes()).await),
        Does::Hangs => std::future::pending().await,
        Does::Floods => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n").await;
            while stream.write_all(&[b'x'; 0x10000]).await.is_ok() {}
        }
    }
}

/// A store with a tenant that is told of its jobs' ends, and who tells.
struct World {
    store: JobStore,
    metrics: Arc<Metrics>,
    ring: TraceRing,
    tracers: Tracers,
    folder: TempDir,
    _guard: TelemetryGuard,
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        timeout(LONG, self.task).await.expect("it stops").unwrap();
    }
}

fn impatient() -> WebhookSettings {
    WebhookSettings {
        timeout: Duration::from_millis(300),
        retries: vec![Duration::from_millis(20); 2],
        ..WebhookSettings::default()
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
        let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
        let ring = tracers.ring().unwrap().clone();
        let store = JobStore::open(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await.unwrap();
        Self { store, metrics: Arc::new(Metrics::new()), ring, tracers, folder, _guard }
    }

    async fn webhook(&self, url: &str) {
        let (url, secret) = (url.to_owned(), SigningSecret::new(SECRET.into()));
        let new = NewWebhook { tenant: TENANT.into(), url, events: WebhookEvent::ALL.into(), secret };
        self.store.add_webhook(new).await.unwrap().unwrap();
    }

    /// A job that has ended in this way before anybody else looked at it.
    async fn ended(&self, status: JobStatus) -> JobId {
        let job = self.job().await;
        let running = Change::Job { status: JobStatus::Running, error: None };
        let changes = [running, Change::Result { key: "jobs/x".into() }, Change::Job { status, error: None }];
        let (record, tasks) = self.store.load(&job).await.unwrap().unwrap();
        assert!(self.store.apply(&record, &tasks, &changes).await.unwrap());
        job
    }

    async fn job(&self) -> JobId {
        let new = NewJob {
            id: JobId::generate(),
            tenant: TENANT.into(),
            name: Some("talk.wav".into()),
            parameters: JobParameters::default(),
            request_id: RequestId::from_caller("req_7").unwrap(),
            traceparent: Some(format!("00-{TRACE}-00f067aa0ba902b7-01")),
            source: Source { key: "jobs/x/source".into(), file_name: None, bytes: 1, sha256: "0".into() },
            idempotency: None,
        };
        match self.store.create(new).await.unwrap() {
            Created::New(job) => {
                assert_eq!(job.version, 1);
                job.id
            }
            other => panic!("{other:?}"),
        }
    }

    fn run(&self, settings: WebhookSettings) -> Running {
        // Receivers have one address of this machine, and the inside another.
        let allow = vec!["127.0.0.1".parse().unwrap()];
        let client = dalston_egress::Settings { allow, ..Default::default() };
        let client = Client::new(client, self.tracers.clone()).unwrap();
        let orchestrator = Orchestrator::new(
            self.store.clone(),
            Artifacts::local(&self.folder.path().join("artifacts")).unwrap(),
            Arc::new(InProcessBroker::default()),
            Vec::new(),
            self.tracers.clone(),
            self.metrics.clone(),
            Settings::default(),
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(orchestrator.with_webhooks(client, settings).run(stop.clone()));
        Running { stop, task }
    }

    /// Waits until so many attempts have ended in this way.
    async fn counted(&self, outcome: &str, count: u32) {
        let line = format!("dalston_webhooks_total{{outcome=\"{outcome}\"}} {count}");
        let counted = async {
            while !self.metrics.encode().contains(&line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, counted).await.unwrap_or_else(|_| panic!("{line} in {}", self.metrics.encode()));
    }

    async fn spans(&self, name: &str, count: usize) -> Vec<SpanRecord> {
        let ended = async {
            loop {
                let spans = self.ring.get(TRACE).unwrap_or_default();
                let named: Vec<_> = spans.into_iter().filter(|span| span.name == name).collect();
                if named.len() >= count {
                    return named;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, ended).await.expect("the spans end")
    }
}

/// Checks a signature with Python's own HMAC, as a receiver in another language does.
fn verified(message: &Message) -> bool {
    const VERIFY: &str = "import base64, hashlib, hmac, sys\n\
        secret, id, timestamp, signature = sys.argv[1:]\n\
        key = base64.b64decode(secret.removeprefix('whsec_'))\n\
        signed = f'{id}.{timestamp}.'.encode() + sys.stdin.buffer.read()\n\
        own = 'v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()\n\
        sys.exit(0 if any(hmac.compare_digest(own, given) for given in signature.split(' ')) else 1)";
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| message.header(name));
    let mut python = Command::new("python3")
        .args(["-c", VERIFY, SECRET])
        .args(headers)
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is installed");
    python.stdin.take().unwrap().write_all(message.body.as_bytes()).unwrap();
    python.wait().unwrap().success()
}

#[tokio::test]
async fn an_end_is_told_signed_and_as_part_of_the_jobs_trace() {
    let (world, mut receiver) = (World::new().await, Receiver::that([status(204)]).await);
    world.webhook(&receiver.url()).await;
    let job = world.ended(JobStatus::Completed).await;
    let running = world.run(impatient());
    let message = receiver.message().await;
    assert_eq!(message.header("content-type"), "application/json");
    assert!(message.header("webhook-id").starts_with("msg_"));
    assert!(verified(&message), "{message:?}");
    let forged = Message { body: message.body.replace("completed", "failed"), ..message.clone() };
    assert!(!verified(&forged), "the check checks");
    let told = message.json();
    assert_eq!((&told["type"], &told["data"]["id"]), (&"job.completed".into(), &job.as_str().into()));
    assert_eq!((&told["data"]["status"], &told["data"]["request_id"]), (&"completed".into(), &"req_7".into()));
    world.counted("delivered", 1).await;

    let attempt = world.spans("orchestrator.deliver_webhook", 1).await.remove(0);
    assert_eq!(attempt.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!(attempt.attributes["dalston.job_id"], job.as_str());
    assert_eq!(attempt.attributes["dalston.outcome"], "delivered");
    let post = world.spans("POST", 1).await.remove(0);
    assert_eq!((post.kind.as_str(), post.parent_span_id.as_ref()), ("client", Some(&attempt.span_id)));
    assert_eq!(message.header("traceparent"), format!("00-{TRACE}-{}-01", post.span_id));
    assert_eq!(message.header("x-request-id"), "req_7");
    assert!(!format!("{attempt:?} {post:?}").contains("hunter2"));
    running.stop().await;
}

/// While it runs, and by what the orchestrator itself decides: without an engine, no job can be done.
#[tokio::test]
async fn an_end_is_told_at_once_and_not_before_it_can_be_read() {
    let (world, mut receiver) = (World::new().await, Receiver::that([status(200)]).await);
    world.webhook(&receiver.url()).await;
    let running = world.run(impatient());
    let job = world.job().await;
    let told = receiver.message().await.json();
    let kept = world.store.job(TENANT, &job).await.unwrap().unwrap();
    assert_eq!((kept.status, &told["type"]), (JobStatus::Failed, &"job.failed".into()));
    assert_eq!(told["data"]["error_code"], kept.error.unwrap().code.as_str());
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_taken_is_told_again_as_the_same_message() {
    let moved = Does::Answers("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".into());
    for refusal in [status(500), status(400), status(429), moved, Does::Hangs, Does::Answers("hello".into())] {
        let (world, mut receiver) = (World::new().await, Receiver::that([refusal, status(200)]).await);
        world.webhook(&receiver.url()).await;
        world.ended(JobStatus::Completed).await;
        let running = world.run(impatient());
        let (first, second) = (receiver.message().await, receiver.message().await);
        assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
        assert_eq!(first.body, second.body);
        assert!(verified(&second));
        world.counted("retried", 1).await;
        world.counted("delivered", 1).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_message_is_given_up_after_its_last_retry() {
    let (world, mut receiver) = (World::new().await, Receiver::that([status(503)]).await);
    world.webhook(&receiver.url()).await;
    world.ended(JobStatus::Completed).await;
    let running = world.run(impatient());
    for _ in 0..3 {
        receiver.message().await;
    }
    world.counted("retried", 2).await;
    world.counted("dead", 1).await;
    running.stop().await;
    assert!(world.store.due_deliveries(Duration::ZERO, 10, &[]).await.unwrap().is_empty());
    assert!(receiver.messages.try_recv().is_err());
    assert_eq!(world.spans("orchestrator.deliver_webhook", 3).await[0].status, "error");
}

#[tokio::test]
async fn who_answers_gone_is_told_nothing_more() {
    let (world, mut receiver) = (World::new().await, Receiver::that([status(410)]).await);
    world.webhook(&receiver.url()).await;
    world.ended(JobStatus::Completed).await;
    let running = world.run(impatient());
    receiver.message().await;
    world.counted("gone", 1).await;
    running.stop().await;
    assert!(world.store.webhooks(TENANT).await.unwrap()[0].disabled_at.is_some());
    world.ended(JobStatus::Completed).await;
    assert!(world.store.due_deliveries(Duration::ZERO, 10, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_ten_gigabytes_of_answer_nothing_is_read() {
    let (world, mut receiver) = (World::new().await, Receiver::that([Does::Floods]).await);
    world.webhook(&receiver.url()).await;
    world.ended(JobStatus::Completed).await;
    let running = world.run(impatient());
    receiver.message().await;
    world.counted("delivered", 1).await;
    running.stop().await;
}

#[tokio::test]
async fn the_inside_is_told_nothing_neither_by_its_address_nor_by_a_redirect() {
    let mut inside = Receiver::at("127.0.0.2:0", [status(200)]).await;
    let location = inside.url();
    let redirect = format!("HTTP/1.1 307 There\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let outside = Receiver::that([Does::Answers(redirect)]).await;
    let world = World::new().await;
    world.webhook(&outside.url()).await;
    world.webhook(&inside.url()).await;
    world.webhook("http://169.254.169.254/hook").await;
    world.webhook("http://localhost/hook").await;
    world.ended(JobStatus::Completed).await;
    let running = world.run(WebhookSettings { retries: Vec::new(), ..impatient() });
    world.counted("dead", 4).await;
    running.stop().await;
    assert!(inside.messages.try_recv().is_err());
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_hold_up_another() {
    let (world, mut quick) = (World::new().await, Receiver::that([status(200)]).await);
    let slow = Receiver::that([Does::Hangs]).await;
    world.webhook(&slow.url()).await;
    for _ in 0..20 {
        world.ended(JobStatus::Completed).await;
    }
    world.webhook(&quick.url()).await;
    world.ended(JobStatus::Completed).await;
    // The slow one alone could take all places, for far longer than the other has to wait.
    let running = world.run(WebhookSettings { timeout: LONG, concurrency: 8, ..impatient() });
    quick.message().await;
    running.stop().await;
}

#[tokio::test]
async fn who_is_stopped_while_it_tells_has_it_told_again() {
    let (world, mut receiver) = (World::new().await, Receiver::that([Does::Hangs, status(200)]).await);
    world.webhook(&receiver.url()).await;
    world.ended(JobStatus::Completed).await;
    let settings = WebhookSettings { lease: Duration::from_millis(500), timeout: LONG, ..impatient() };
    let killed = world.run(settings.clone());
    let first = receiver.message().await;
    // Not stopped but cut off, wherever it is.
    killed.task.abort();
    let running = world.run(settings);
    let second = receiver.message().await;
    assert_eq!((first.header("webhook-id"), &first.body), (second.header("webhook-id"), &second.body));
    world.counted("delivered", 1).await;
    running.stop().await;
}
