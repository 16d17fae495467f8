//! The gateway's side: dials a worker for each session.

use dalston_protocol::RequestId;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderValue, StatusCode, Uri, header},
    },
};
use tracing::{Instrument, warn};

use super::{
    ClusterSecret, Liveness, MAX_FROM_WORKER, PROTOCOL, REQUEST_ID, RemoteError, TRACEPARENT,
    duplex::{Lost, Reader, Socket, Writer, split},
    net, websocket,
    wire::{Answer, Garbage, Offer, Received, text, vanished},
};
use crate::link::{
    FromWorker, Refusal, SessionChannel, SessionOffer, ToWorker, WorkerLink,
    in_process::{FROM_WORKER, TO_WORKER},
};

/// The way to a worker of another process: `ws://host:port`. Cheap to make; each session is a connection of its own.
#[derive(Debug, Clone)]
pub struct WebSocketLink {
    url: Uri,
    secret: ClusterSecret,
    liveness: Liveness,
}

impl WebSocketLink {
    /// # Errors
    /// The URL is not a worker's address.
    pub fn new(url: &str, secret: ClusterSecret, liveness: Liveness) -> Result<Self, RemoteError> {
        let bad = || RemoteError::BadUrl(url.to_owned());
        let parsed: Uri = url.parse().map_err(|_| bad())?;
        let has_place = parsed.host().is_some() && parsed.port_u16().is_some();
        if parsed.scheme_str() != Some("ws") || !has_place {
            return Err(bad());
        }
        Ok(Self { url: parsed, secret, liveness })
    }

    fn request(&self, offer: &SessionOffer) -> Result<Request, tungstenite::Error> {
        let mut request = self.url.clone().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, self.secret.header());
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        headers.insert(REQUEST_ID, request_id(&offer.request_id));
        if let Some(parent) = offer.trace.to_traceparent() {
            headers.insert(TRACEPARENT, HeaderValue::try_from(parent).expect("a traceparent is ASCII"));
        }
        Ok(request)
    }

    async fn connect(&self) -> std::io::Result<net::Stream> {
        let (host, port) = (self.url.host().unwrap_or_default(), self.url.port_u16().unwrap_or_default());
        // A literal in brackets is looked up without them.
        net::connect(host.trim_start_matches('[').trim_end_matches(']'), port).await
    }

    async fn dial(&self, offer: &SessionOffer) -> Result<Socket, Refusal> {
        let stream = self.connect().await.map_err(|error| unreachable(&error))?;
        let request = self.request(offer).map_err(|error| unreachable(&error))?;
        match client_async_with_config(request, stream, Some(websocket(MAX_FROM_WORKER))).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => Err(Refusal::Unreachable(match answer.status() {
                StatusCode::UNAUTHORIZED => "it has another cluster secret".into(),
                StatusCode::UPGRADE_REQUIRED => format!("it does not speak {PROTOCOL}: it is of another release"),
                status => format!("it answered HTTP {status}"),
            })),
            Err(error) => Err(unreachable(&error)),
        }
    }
}

impl WorkerLink for WebSocketLink {
    fn open(&self, offer: SessionOffer) -> BoxFuture<'_, Result<SessionChannel, Refusal>> {
        async move {
            let (mut reader, mut writer) = split(self.dial(&offer).await?, self.liveness);
            writer.say(text(&Offer::from(&offer))).await.map_err(|error| unreachable(&error))?;
            reader.next::<Answer>().await.map_err(|lost| unreachable(&lost))?.into_result()?;

            // Both as in process: full means that the other side has enough.
            let (to_worker, from_gateway) = mpsc::channel(TO_WORKER);
            let (to_gateway, from_worker) = mpsc::channel(FROM_WORKER);
            let session = Session { reader, writer, from_gateway, to_gateway };
            let scope = dalston_telemetry::scope(offer.request_id.as_str(), Some(offer.session_id.as_str()));
            // Belongs to the channel: it ends when the worker has, or when both ends of the channel are dropped.
            tokio::spawn(session.run().instrument(scope));
            Ok(SessionChannel { to_worker, from_worker })
        }
        .boxed()
    }
}

impl Received for Answer {
    fn audio(_: bytes::Bytes) -> Result<Self, Garbage> {
        Err(Garbage)
    }

    fn text(text: &str) -> Result<Self, Garbage> {
        super::wire::read(text)
    }
}

/// An open session, between the gateway's channel and the socket.
struct Session {
    reader: Reader,
    writer: Writer,
    from_gateway: mpsc::Receiver<ToWorker>,
    to_gateway: mpsc::Sender<FromWorker>,
}

impl Session {
    async fn run(self) {
        let Self { mut reader, mut writer, mut from_gateway, to_gateway } = self;
        let until_nobody_hears = async {
            // A write that fails leaves it to the reader to find out why: the worker's last words may be there to be read.
            if let Ok(false) = writer.say_all(&mut from_gateway).await {
                let _ = writer.say(vanished()).await;
            }
            // The worker answers for what it received, and must not take our silence for our death meanwhile.
            tokio::select! {
                () = to_gateway.closed() => {}
                // It cannot be said any more, and the reader finds out why.
                () = writer.stay_alive() => to_gateway.closed().await,
            }
        };
        tokio::select! {
            lost = hear(&mut reader, &to_gateway) => if let Some(lost) = lost {
                warn!(event = "worker_lost", %lost, "a worker was lost in the middle of a session");
            },
            () = until_nobody_hears => {}
        }
        drop((from_gateway, to_gateway));
        writer.part().await;
    }
}

/// Passes on what the worker says. `None` after its last word, or why there was none.
async fn hear(reader: &mut Reader, to_gateway: &mpsc::Sender<FromWorker>) -> Option<Lost> {
    loop {
        match reader.next::<FromWorker>().await {
            Ok(said) => {
                let is_over = matches!(said, FromWorker::Closed(_));
                // A gateway that hears nothing more still has its audio taken: the worker answers for the record.
                let _ = to_gateway.send(said).await;
                if is_over {
                    return None;
                }
            }
            Err(lost) => return Some(lost),
        }
    }
}

fn request_id(id: &RequestId) -> HeaderValue {
    HeaderValue::from_str(id.as_str()).expect("a request's id is printable ASCII")
}

fn unreachable(why: &dyn std::fmt::Display) -> Refusal {
    Refusal::Unreachable(why.to_string())
}
