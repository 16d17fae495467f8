//! The worker's side: listens for gateways, and puts their sessions to the worker's port.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{ClusterSecret, Liveness, RemoteError, WebSocketLink, net, session};
use crate::{
    Address,
    link::{InProcessLink, WorkerPort, in_process},
};

/// Wait after an accept that failed for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections beyond the sessions: refusals under way, and gateways that are about to ask.
const RESERVE: usize = 64;

/// How a worker is reached.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where it listens: loopback or a private network.
    pub bind: SocketAddr,
    /// At which `ws://host:port` gateways reach it, where that is not what it listens on.
    pub advertise: Option<String>,
    /// What gateways prove.
    pub secret: ClusterSecret,
    /// Sessions at once. Connections beyond it and a reserve are not accepted until one ends.
    pub max_sessions: usize,
    /// From accept to the worker's answer. A connection that takes longer is cut.
    pub handshake: Duration,
    /// When a gateway counts as alive.
    pub liveness: Liveness,
}

impl ServerSettings {
    /// The usual ones.
    pub fn new(bind: SocketAddr, secret: ClusterSecret, max_sessions: usize) -> Self {
        let (handshake, liveness) = (Duration::from_secs(5), Liveness::default());
        Self { bind, advertise: None, secret, max_sessions, handshake, liveness }
    }
}

/// Listens for gateways until it is closed or dropped.
#[derive(Debug)]
pub struct WorkerServer {
    url: String,
    closing: CancellationToken,
    serving: JoinHandle<()>,
}

impl WorkerServer {
    /// Listens, and gives the port at which the sessions arrive.
    ///
    /// # Errors
    /// The settings cannot work, or the address is not to be had.
    pub fn listen(settings: ServerSettings) -> Result<(Self, WorkerPort), RemoteError> {
        let bind = settings.bind;
        if is_public(bind.ip()) {
            return Err(RemoteError::PublicAddress(bind));
        }
        let listener = net::Listener::bind(bind).map_err(|source| RemoteError::Listen { address: bind, source })?;
        let at = listener.local_addr().map_err(|source| RemoteError::Listen { address: bind, source })?;
        let url = match &settings.advertise {
            Some(url) => url.clone(),
            None if bind.ip().is_unspecified() => return Err(RemoteError::NoAddress(at)),
            None => format!("ws://{at}"),
        };
        // As whoever is told it will read it.
        WebSocketLink::new(&url, settings.secret.clone(), settings.liveness)?;
        let (link, port) = in_process();
        let closing = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, link, settings, closing.clone()));
        Ok((Self { url, closing, serving }, port))
    }

    /// What the worker announces.
    pub fn address(&self) -> Address {
        Address::Url(self.url.clone())
    }

    /// Takes no more connections, and waits so long for those that are left to be told how their sessions ended.
    pub async fn close(mut self, patience: Duration) {
        self.closing.cancel();
        if timeout(patience, &mut self.serving).await.is_err() {
            warn!("gateways did not hear the end of their sessions in time and are cut off");
        }
    }
}

impl Drop for WorkerServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The connections' owner: they end with it.
async fn serve(listener: net::Listener, link: InProcessLink, settings: ServerSettings, closing: CancellationToken) {
    let settings = Arc::new(settings);
    let places = Arc::new(Semaphore::new((settings.max_sessions + RESERVE).min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    loop {
        // The place comes first: without any, nothing is accepted and the kernel queues.
        let arrival = async {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (listener.accept().await, place)
        };
        tokio::select! {
            biased;
            () = closing.cancelled() => break,
            Some(ended) = connections.join_next() => if let Err(panic) = ended {
                warn!(%panic, "a gateway's connection failed");
            },
            (accepted, place) = arrival => match accepted {
                Ok((stream, peer)) => {
                    let (link, settings) = (link.clone(), settings.clone());
                    connections.spawn(async move {
                        connection(stream, peer, link, &settings).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "cannot accept gateways");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: net::Stream, peer: SocketAddr, link: InProcessLink, settings: &ServerSettings) {
    match timeout(settings.handshake, session::open(stream, &link, settings)).await {
        Ok(Ok(session)) => session.run().await,
        Ok(Err(session::NotOpened::WrongSecret)) => warn!(%peer, "somebody without the cluster's secret was refused"),
        Ok(Err(why)) => debug!(%peer, %why, "no session came of a connection"),
        Err(_) => debug!(%peer, "a connection did not become a session in time"),
    }
}

/// Whether others than those of this network may reach it.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            // RFC 6598: what carriers and some clusters use inside.
            let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_networks_are_listened_on() {
        for private in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "0.0.0.0", "::1", "fd00::1", "fe80::1"] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2001:4860::1", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn what_no_gateway_can_reach_is_not_announced() {
        let secret = ClusterSecret::new("a secret-of-a-test".replace(' ', "-").as_str()).unwrap();
        let settings = |bind: &str| ServerSettings::new(bind.parse().unwrap(), secret.clone(), 1);
        let listen = |settings| WorkerServer::listen(settings).map(|(server, _)| server.address());
        assert!(matches!(listen(settings("8.8.8.8:1")), Err(RemoteError::PublicAddress(_))));
        assert!(matches!(listen(settings("0.0.0.0:0")), Err(RemoteError::NoAddress(_))));
        let named = |url: &str| ServerSettings { advertise: Some(url.into()), ..settings("0.0.0.0:0") };
        assert!(matches!(listen(named("http://worker:1")), Err(RemoteError::BadUrl(_))));
        assert_eq!(listen(named("ws://worker:1")).unwrap(), Address::Url("ws://worker:1".into()));
    }
}
