//! Servers on this machine, and a client that may reach as much of it as a test says.

#![allow(dead_code, clippy::unwrap_used, reason = "each test takes what it needs; what fails here fails the test")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dalston_egress::{Client, EgressError, Limits, Origin, Request, Response, Settings};
use dalston_telemetry::{Component, TraceContext, Tracers};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};

pub const LIMITS: Limits = Limits { total: Duration::from_secs(20), body: 1 << 20, redirects: 3 };

/// Answers each connection with what its script says.
pub struct Server {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    /// Heads and bodies of requests, as they came.
    pub requests: mpsc::UnboundedReceiver<String>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers every request with this.
    pub async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::serving("127.0.0.1:0", move |_| answer.clone()).await
    }

    /// Answers a request, of which it sees all, with what `script` gives; then closes.
    pub async fn serving(address: &str, script: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let script = Arc::new(script);
        Self::with(address, move |mut stream, request| {
            let answer = script(&request);
            async move {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await
    }

    /// Reads a request, and hands the stream over.
    pub async fn with<F>(address: &str, then: impl Fn(TcpStream, String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, requests) = mpsc::unbounded_channel();
        let (then, counted) = (Arc::new(then), connections.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (then, sender) = (then.clone(), sender.clone());
                served.spawn(async move {
                    let request = read_request(&mut stream).await;
                    let _ = sender.send(request.clone());
                    then(stream, request).await;
                });
            }
        });
        Self { address, connections, requests, _tasks: tasks }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// May reach these beside what is public, and has no DNS but for `names`.
pub fn client(allow: &[&str], names: &'static [(&str, &str)]) -> Client {
    let client = Client::new(settings(allow), Tracers::off()).unwrap();
    client.with_names(move |name| {
        Ok(names.iter().filter(|(known, _)| *known == name).map(|(_, address)| address.parse().unwrap()).collect())
    })
}

pub fn settings(allow: &[&str]) -> Settings {
    Settings {
        allow: allow.iter().map(|allowed| allowed.parse().unwrap()).collect(),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        ..Settings::default()
    }
}

pub fn origin() -> Origin<'static> {
    Origin { component: Component::Gateway, trace: TraceContext::none(), request_id: "req_1" }
}

pub async fn get(client: &Client, url: &str) -> Result<Response, EgressError> {
    client.send(Request::get(url, LIMITS, origin())).await
}

pub async fn body(mut response: Response) -> Result<Vec<u8>, EgressError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// What came of a `GET`, as far as its body.
pub async fn fetched(client: &Client, url: &str) -> Result<String, EgressError> {
    let response = get(client, url).await?;
    Ok(String::from_utf8(body(response).await?).unwrap())
}
