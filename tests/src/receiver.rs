//! A server on loopback for the server under test to call: it hears requests and answers each as the test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is sent at once of a body without end.
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// A request that was heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// With its query.
    pub path: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// All of it that is text.
    pub body: String,
}

impl Heard {
    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// What is done about a request.
pub enum Does {
    /// Answers with this status and body.
    Answers(u16, Vec<u8>),
    /// Sends the caller elsewhere.
    Redirects(String),
    /// Says nothing until the caller has gone.
    Hangs,
    /// Announces so many bytes, and sends until the caller has gone.
    Floods(u64),
    /// Announces so many bytes, and sends one in a while.
    Drips(u64),
}

/// A server that runs until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    heard: Mutex<mpsc::Receiver<Heard>>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Receiver {
    /// At 127.0.0.1.
    pub fn start(does: impl Fn(&Heard) -> Does + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", does)
    }

    /// Where the test says.
    pub fn at(address: &str, does: impl Fn(&Heard) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, heard) = mpsc::channel();
        let (sent, stop, does) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(does));
        let accepting = {
            let (sent, stop) = (sent.clone(), stop.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stop.load(SeqCst) {
                        return;
                    }
                    let (sender, does, sent) = (sender.clone(), does.clone(), sent.clone());
                    // It ends with its caller, who is a child that this test ends.
                    std::thread::spawn(move || serve(stream, &sender, &*does, &sent));
                }
            })
        };
        Self { address, heard: Mutex::new(heard), sent, stop, accepting: Some(accepting) }
    }

    /// A URL of this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    pub fn next(&self) -> Heard {
        self.next_within(PATIENCE).expect("nothing was heard")
    }

    /// The next request, if it comes in time.
    pub fn next_within(&self, time: Duration) -> Option<Heard> {
        match self.heard.lock().expect("no listener panics").recv_timeout(time) {
            Ok(heard) => Some(heard),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the receiver has ended"),
        }
    }

    /// Requests that were heard and not asked for.
    pub fn others(&self) -> Vec<Heard> {
        self.heard.lock().expect("no listener panics").try_iter().collect()
    }

    /// Bytes of bodies without end that callers, or the kernel for them, have taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(SeqCst)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// One request. What fails here fails because the caller has gone.
fn serve(stream: TcpStream, heard: &mpsc::Sender<Heard>, does: &dyn Fn(&Heard) -> Does, sent: &AtomicU64) {
    let Some(request) = read(&stream) else { return };
    // Decided before it is told, so that a test that waits for it sees what the decision did.
    let does = does(&request);
    let _ = heard.send(request);
    let _ = answer(stream, does, sent);
}

fn read(stream: &TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Heard { path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn answer(mut stream: TcpStream, does: Does, sent: &AtomicU64) -> std::io::Result<()> {
    let head = |status: u16, length: u64, more: &str| {
        format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{more}\r\n")
    };
    match does {
        Does::Answers(status, body) => {
            stream.write_all(head(status, body.len() as u64, "").as_bytes())?;
            stream.write_all(&body)
        }
        Does::Redirects(to) => stream.write_all(head(302, 0, &format!("Location: {to}\r\n")).as_bytes()),
        Does::Hangs => stream.read_to_end(&mut Vec::new()).map(drop),
        Does::Floods(length) => {
            stream.write_all(head(200, length, "").as_bytes())?;
            let mut left = length;
            while left > 0 {
                let piece = PIECE.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let written = stream.write(&PIECE[..piece])? as u64;
                sent.fetch_add(written, SeqCst);
                left -= written;
            }
            Ok(())
        }
        Does::Drips(length) => {
            stream.write_all(head(200, length, "").as_bytes())?;
            for _ in 0..length {
                stream.write_all(&[0])?;
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
    }
}
