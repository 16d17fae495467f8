//! The accept loop: connections in, requests out, and an orderly end.
//!
//! `axum::serve` is not used: it lets a half-sent head stay open for ever, and forgets WebSockets when it shuts down.
//!
//! The end has four parts. First the gateway *drains*: it still accepts, so that `/readyz` can say 503, but takes no session
//! and no upload, asks the open sessions to end and waits for the uploads under way. At the drain timeout sessions that have
//! not ended are closed, and a moment later what is left is *cut*. What is still to be said for sessions that are over, to a
//! worker or a store, has two seconds more. While the *rest* of the process ends, its jobs among it,
//! plain requests are still answered. Then it *closes*: no more connections, and those that are left finish the request they
//! are at.

mod connection;
mod outstanding;

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tower::util::ServiceExt;
use tracing::{info, warn};

pub(crate) use self::connection::Connection;
use self::connection::{Place, Places, Room};
use crate::gateway::App;

/// Room for a request's head: the largest allowed vocabulary fits, percent-encoded. Beyond it, 431.
const MAX_HEAD: usize = 64 * 1024;
/// Wait after an accept that failed for want of something, such as file descriptors.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// From the drain timeout to the cut: the close frames' way to the clients and back.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// For what is left to be said for sessions and jobs whose clients have gone: to a worker or a store that may be gone, too.
const LAST_WORDS_OF_OTHERS: Duration = Duration::from_secs(2);
/// Time for the requests under way when the sessions have ended, unless those took it all …
const LAST_REQUESTS: Duration = Duration::from_secs(2);
/// … and then for what only has to notice that it is over.
const NOTICE: Duration = Duration::from_millis(100);

/// Put into each request: whether the connection may open a session, or was let in only to ask plain questions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MayOpenSession(pub(crate) bool);

/// Put into each request: where it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves `router` until `shutdown` resolves, what is open has ended, and then `rest`.
pub(crate) async fn serve(
    app: &App,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    rest: impl Future<Output = ()>,
) {
    let mut accepting = Accepting {
        app,
        router,
        listener,
        places: Places::new(app.config.http.max_connections),
        connections: JoinSet::new(),
        closing: CancellationToken::new(),
    };
    accepting.until(shutdown).await;

    info!(sessions = app.sessions.len(), uploads = app.uploads.len(), "draining");
    let drain_timeout = app.config.http.drain_timeout;
    let began = Instant::now();
    app.draining.cancel();
    app.sessions.close();
    app.uploads.close();
    // Sessions keep the deadline themselves, and need a moment more for their closing handshake.
    let cut_at = began + drain_timeout + LAST_WORDS;
    let all = async { tokio::join!(app.sessions.wait(), app.uploads.wait()) };
    let ended = async { timeout_at(cut_at, all).await.is_ok() };
    if !accepting.until(ended).await {
        let (sessions, uploads) = (app.sessions.len(), app.uploads.len());
        warn!(sessions, uploads, "what did not end in time is cut");
        app.cut.cancel();
        // What does not notice ends with the process.
        let _ = timeout(NOTICE, app.sessions.wait()).await;
    }
    app.last_words.close();
    if !accepting.until(async { timeout(LAST_WORDS_OF_OTHERS, app.last_words.wait()).await.is_ok() }).await {
        warn!(tasks = app.last_words.len(), "what was to be said for sessions that are over is not said");
    }
    accepting.until(rest).await;
    let patience = cut_at.saturating_duration_since(Instant::now()).clamp(NOTICE, LAST_REQUESTS);
    accepting.close(patience).await;
    info!(seconds = began.elapsed().as_secs_f64(), "drained");
}

struct Accepting<'a> {
    app: &'a App,
    router: Router,
    listener: TcpListener,
    places: Places,
    /// Connections that speak HTTP; one that became a WebSocket belongs to its session.
    connections: JoinSet<()>,
    closing: CancellationToken,
}

impl Accepting<'_> {
    async fn until<T>(&mut self, event: impl Future<Output = T>) -> T {
        let mut event = pin!(event);
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::select! {
                biased;
                happened = &mut event => return happened,
                Some(ended) = self.connections.join_next() => if let Err(panic) = ended {
                    warn!(%panic, "a connection's task failed");
                },
                (accepted, room) = accept(&self.listener, &self.places) => match accepted {
                    Ok(stream) => {
                        pause = FIRST_PAUSE;
                        self.spawn(stream, self.places.give(room));
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        warn!(%error, pause_seconds = pause.as_secs_f64(), "cannot accept connections");
                        // Whatever is missing comes back when something closes; trying without a pause would burn a
                        // core.
                        tokio::select! {
                            happened = &mut event => return happened,
                            () = tokio::time::sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
                        }
                    }
                }
            }
        }
    }

    fn spawn(&mut self, stream: TcpStream, place: Place) {
        let limits = &self.app.config.http;
        let is_regular = place.is_regular();
        // Of a peer that has gone already nobody asks.
        let peer = Peer(stream.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip()));
        let Ok(connection) = Connection::new(stream, place, limits.dead_peer, self.app.metrics.clone()) else {
            // The peer has gone between accept and here.
            return;
        };
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(MayOpenSession(is_regular));
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.header_timeout).max_buf_size(MAX_HEAD);
        http.keep_alive(is_regular);
        let serving = http.serve_connection(TokioIo::new(connection), service).with_upgrades();
        let closing = self.closing.clone();
        self.connections.spawn(async move {
            let mut serving = pin!(serving);
            // Errors are the peer's doing (half a head, a reset), and it is not there any more to be told.
            tokio::select! {
                _ = &mut serving => {}
                () = closing.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    let _ = serving.await;
                }
            }
        });
    }

    async fn close(mut self, patience: Duration) {
        drop(self.listener);
        self.closing.cancel();
        let all = async { while self.connections.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_err() {
            warn!(connections = self.connections.len(), "connections did not end in time and are cut");
            self.connections.shutdown().await;
        }
    }
}

/// The room comes first: without any, nothing is accepted and the kernel queues.
async fn accept(listener: &TcpListener, places: &Places) -> (io::Result<TcpStream>, Room) {
    let room = places.room().await;
    (listener.accept().await.map(|(stream, _)| stream), room)
}

/// Whether only the connection that was to be accepted is at fault, and the next may be well (accept(2), "Error
/// handling").
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
    )
}
