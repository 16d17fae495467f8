//! A server that answers as a test says, and a task that asks it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::DefaultBodyLimit,
    http::HeaderMap,
    response::Response,
};
use dalston_engine_remote::{Remote, Settings};
use dalston_engine_sdk::batch::{Engine, TaskContext, TaskError, TaskInput, TaskOutput, Transcribed};
use dalston_protocol::job::JobParameters;
use dalston_telemetry::Tracers;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// Everything before the file.
    fn fields(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.split("name=\"file\"").next().unwrap_or_default().to_owned()
    }

    /// The values of a field.
    pub fn field(&self, name: &str) -> Vec<String> {
        let head = format!("name=\"{name}\"\r\n\r\n");
        let fields = self.fields();
        fields.split(&head).skip(1).map(|rest| rest.split("\r\n").next().unwrap_or_default().to_owned()).collect()
    }

    /// Seconds of the WAV file in it.
    pub fn seconds(&self) -> f64 {
        let at = self.body.windows(4).position(|four| four == b"RIFF").expect("a WAV file");
        let reader = hound::WavReader::new(&self.body[at..]).expect("a WAV file");
        assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 16_000));
        f64::from(reader.duration()) / 16_000.0
    }
}

/// Answers each request by its number, from 0.
pub struct Server {
    pub address: SocketAddr,
    pub asked: mpsc::UnboundedReceiver<Asked>,
    _serving: JoinHandle<()>,
}

impl Server {
    pub async fn answering<F>(answer: impl Fn(usize, Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::unbounded_channel();
        let (answer, count) = (Arc::new(answer), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let handler = move |request: axum::extract::Request| {
            let (answer, sender, count) = (answer.clone(), sender.clone(), count.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let asked = Asked { path: parts.uri.path().to_owned(), headers: parts.headers, body };
                let number = count.fetch_add(1, Ordering::SeqCst);
                let _ = sender.send(asked.clone());
                answer(number, asked).await
            }
        };
        let app = Router::new().fallback(handler).layer(DefaultBodyLimit::disable());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, asked, _serving: serving }
    }

    /// With the same answer to everything.
    pub async fn always(status: u16, headers: &'static [(&'static str, &'static str)], body: String) -> Self {
        Self::answering(move |_, _| std::future::ready(answer(status, headers, body.clone()))).await
    }

    pub fn settings(&self) -> Settings {
        settings(self.address)
    }

    /// How often it was asked.
    pub fn count(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }
}

pub fn settings(address: SocketAddr) -> Settings {
    Settings::new(format!("http://{address}/v1").parse().unwrap(), "whisper-1")
}

pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

pub fn transcript(value: &Value) -> Response {
    answer(200, &[("content-type", "application/json")], value.to_string())
}

/// A word in the second second.
pub fn one_word() -> Value {
    json!({ "text": "go", "language": "english", "segments": [{ "start": 1.0, "end": 2.0, "text": " go" }],
        "words": [{ "word": "go", "start": 1.2, "end": 1.8 }] })
}

/// What a task may say and ask.
pub struct Context {
    cancelled: AtomicBool,
    deadline: Instant,
}

impl Context {
    pub fn with_time(time: Duration) -> Arc<Self> {
        Arc::new(Self { cancelled: AtomicBool::new(false), deadline: Instant::now() + time })
    }

    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }
}

impl TaskContext for Context {
    fn progress(&self, done: f64) {
        assert!((0.0..=1.0).contains(&done), "{done}");
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    fn request_id(&self) -> &str {
        "ticket-4711"
    }
}

/// Tone with a pause of half a second in every five.
pub fn speech(seconds: usize) -> Vec<i16> {
    let is_pause = |at: usize| at % 80_000 >= 72_000;
    let tone = |at: usize| if is_pause(at) { 0 } else { ((at as f32 * 0.1).sin() * 8000.0) as i16 };
    (0..seconds * 16_000).map(tone).collect()
}

fn write(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
}

/// A task of so many seconds of speech.
pub async fn process(
    settings: Settings,
    seconds: usize,
    parameters: JobParameters,
    ctx: Arc<Context>,
) -> Result<Transcribed, TaskError> {
    let engine = Remote::new(settings, &Tracers::off()).unwrap();
    let work = move || -> Result<TaskOutput, TaskError> {
        let folder = tempfile::tempdir().unwrap();
        let audio = folder.path().join("audio.wav");
        write(&audio, &speech(seconds));
        let files = [("audio.wav".to_owned(), audio)].into();
        engine.process(&TaskInput { parameters, files, ..TaskInput::default() }, &*ctx)
    };
    let output = tokio::task::spawn_blocking(work).await.unwrap()?;
    Ok(serde_json::from_value(output.result).unwrap())
}

/// The same in little time and with nothing in particular asked for.
pub async fn fails(settings: Settings) -> TaskError {
    process(settings, 3, JobParameters::default(), Context::with_time(Duration::from_millis(900))).await.unwrap_err()
}
