//! Servers of one's own, for tests and for trying several processes on one machine: S3 over a folder, and a real PostgreSQL.
//! They hold no promise beyond that.

#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod postgres;

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use hyper::{
    Method, Request,
    body::Incoming,
    header::{IF_MATCH, IF_NONE_MATCH},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::TokioIo;
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
};

pub use self::postgres::Postgres;
use crate::Location;

const KEY_ID: &str = "dalston";
const SECRET: &str = "dalston-secret";
/// The bucket that is there from the beginning.
const BUCKET: &str = "dalston";

/// A running server. Dropped, it is gone at once, with every connection.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    /// A handful of orders of a test.
    orders: Option<UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// As long as it lives, the server does nothing; connections stay, and new ones are taken by the system.
#[derive(Debug)]
pub struct Frozen(#[expect(dead_code, reason = "dropping it is the message")] mpsc::Sender<()>);

#[derive(Debug)]
struct Order {
    is_frozen: mpsc::Sender<()>,
    thaw: mpsc::Receiver<()>,
}

impl S3Server {
    /// Serves the buckets that are folders in this folder, at a free port of this machine.
    ///
    /// # Errors
    /// When the folder cannot be used, or no port is free.
    pub fn start(folder: &Path) -> io::Result<Self> {
        Self::start_at(folder, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// The same at this address, where one that was stopped has been.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when the address is taken.
    pub fn start_at(folder: &Path, address: SocketAddr) -> io::Result<Self> {
        fs::create_dir_all(folder.join(BUCKET))?;
        let files = FileSystem::new(folder).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = service.build();
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // One thread, so that all of it stands still when that is stopped.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, ordered) = unbounded_channel();
        let thread = thread::Builder::new().name("s3-server".into()).spawn(move || {
            // An error ends the server, and whoever uses it is told by the connection.
            let _ = runtime.block_on(serve(listener, service, ordered));
        })?;
        Ok(Self { address, orders: Some(orders), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The environment of a process that uses it.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ACCESS_KEY_ID", KEY_ID.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
        ]
    }

    /// The URL of what begins with a prefix in its bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// The same for this process, whatever its environment says.
    pub fn location(&self, prefix: &str) -> Location {
        let location: Location = self.url(prefix).parse().expect("the prefix is made of plain names");
        location.with_variables(self.variables())
    }

    /// Stops all of it until what is returned is dropped.
    pub fn freeze(&self) -> Frozen {
        let (is_frozen, told) = mpsc::channel();
        let (frozen, thaw) = mpsc::channel();
        if let Some(orders) = &self.orders {
            // A server that is gone answers nobody either.
            let _ = orders.send(Order { is_frozen, thaw });
            let _ = told.recv();
        }
        Frozen(frozen)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut orders: UnboundedReceiver<Order>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    let turns = Arc::new(tokio::sync::RwLock::new(()));
    let service = service_fn(move |request: Request<Incoming>| {
        let (service, turns) = (service.clone(), turns.clone());
        async move {
            // Over a folder it looks first and writes later, and reads what an object holds first and its tag later; a real server
            // does both in one step.
            let is_conditional = [IF_MATCH, IF_NONE_MATCH].iter().any(|name| request.headers().contains_key(name));
            let is_read = !is_conditional && request.method() == Method::GET;
            let _alone = if is_conditional { Some(turns.write().await) } else { None };
            let _with_others = if is_read { Some(turns.read().await) } else { None };
            Service::call(&service, request).await
        }
    });
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order { is_frozen, thaw }) => {
                    let _ = is_frozen.send(());
                    // Blocks the only thread there is, as it is meant.
                    let _ = thaw.recv();
                }
                None => return Ok(()),
            },
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(connection);
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
