//! One accepted TCP connection, from the accept loop through HTTP into a WebSocket.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use dalston_telemetry::Metrics;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::outstanding::outstanding;

/// Connections beyond the limit that may still ask plain questions, such as whether the server lives.
const RESERVE: usize = 32;
/// What the kernel keeps of a session each way (Linux doubles it); on its own it would grow to many megabytes. Out:
/// more would only hide that a client does not read. In: audio that waits there is lag that nobody sees; this is some
/// seconds of it, and still lets a client 100 ms away send 1 MB a second.
const KERNEL_BUFFER: usize = 64 * 1024;

/// The places that connections take.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    regular: Arc<Semaphore>,
}

impl Places {
    pub(crate) fn new(max_connections: usize) -> Self {
        let regular = max_connections.min(Semaphore::MAX_PERMITS - RESERVE);
        Self { all: Arc::new(Semaphore::new(regular + RESERVE)), regular: Arc::new(Semaphore::new(regular)) }
    }

    /// Waits until there is room for one more.
    pub(crate) async fn room(&self) -> Room {
        Room(self.all.clone().acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// Gives the room to a connection that has come, with a regular place if there is one: now, and not when the room was
    /// found, which may be long ago.
    pub(crate) fn give(&self, Room(any): Room) -> Place {
        Place { _any: any, regular: self.regular.clone().try_acquire_owned().ok() }
    }
}

/// Room for a connection that is to come.
#[derive(Debug)]
pub(crate) struct Room(OwnedSemaphorePermit);

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _any: OwnedSemaphorePermit,
    regular: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Whether a session may be opened from it.
    pub(crate) fn is_regular(&self) -> bool {
        self.regular.is_some()
    }
}

/// A connection, counted, and holding its place until it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    metrics: Arc<Metrics>,
    sent: u64,
    received: u64,
    taken_apart: u64,
    _place: Place,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, place: Place, dead_peer: Duration, metrics: Arc<Metrics>) -> io::Result<Self> {
        // An event of 200 bytes must not wait for more to come.
        stream.set_nodelay(true)?;
        // Also bounds an HTTP client that does not read its answer: the kernel cuts it (RFC 5482; Linux counts a closed
        // window).
        SockRef::from(&stream).set_tcp_user_timeout(Some(dead_peer))?;
        metrics.connections_open.inc();
        Ok(Self { stream, metrics, sent: 0, received: 0, taken_apart: 0, _place: place })
    }

    /// From here on it carries a live session. Best effort: a session works with any buffer.
    pub(crate) fn becomes_session(&self) {
        let socket = SockRef::from(&self.stream);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    }

    /// Reads and throws away. Ready when the peer has ended or gone.
    pub(crate) fn poll_scraps(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scrap = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ends our half. Best effort: a connection that is gone has ended both.
    pub(crate) fn say_no_more(&self) {
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
    }

    /// Bytes that the peer's kernel has taken so far: a client that reads, however slowly, makes it grow. Ours takes the
    /// next ones only when a third of its buffer is free again, which says little of a slow reader.
    pub(crate) fn taken(&self) -> u64 {
        // A socket that cannot say has failed, and then nothing more is taken.
        outstanding(&self.stream).map_or(0, |left| self.sent.saturating_sub(left))
    }

    /// Bytes that the peer has sent, those that wait in the kernel among them.
    pub(crate) fn arrived(&self) -> u64 {
        // A socket that cannot say has failed, and then nothing more comes from it.
        self.received + rustix::io::ioctl_fionread(&self.stream).unwrap_or(0)
    }

    /// How many of them have become messages: more is asked for only when what is there holds no whole message.
    pub(crate) fn taken_apart(&self) -> u64 {
        self.taken_apart
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections_open.dec();
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.taken_apart = self.received;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.received += (buf.filled().len() - before) as u64;
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent += if let Poll::Ready(Ok(count)) = written { count as u64 } else { 0 };
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
