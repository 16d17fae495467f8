//! One connection at the worker: a bridge from the socket to the link inside the process.

use dalston_protocol::RequestId;
use dalston_telemetry::TraceContext;
use tokio::{sync::mpsc, time::timeout};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderMap, HeaderValue, StatusCode, header},
    },
};
use tracing::{Instrument, Span, info};

use super::{
    MAX_TO_WORKER, PARTING, PROTOCOL, REQUEST_ID, ServerSettings, TRACEPARENT,
    duplex::{Lost, Reader, Writer, split},
    net, websocket,
    wire::{Answer, FromGateway, Garbage, Offer, Received, read, text},
};
use crate::link::{FromWorker, InProcessLink, SessionChannel, ToWorker, WorkerLink};

/// Why no session came of a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    #[error("the cluster's secret is wrong")]
    WrongSecret,
    #[error("it speaks another version")]
    OtherVersion,
    #[error("no upgrade came: {0}")]
    NoUpgrade(tungstenite::Error),
    #[error("no offer came: {0}")]
    NoOffer(Lost),
    #[error("no answer could be given: {0}")]
    NoAnswer(tungstenite::Error),
    #[error("the worker refused")]
    Refused,
}

/// An open session, between the socket and the worker's channel.
pub(super) struct Session {
    reader: Reader,
    writer: Writer,
    to_worker: mpsc::Sender<ToWorker>,
    from_worker: mpsc::Receiver<FromWorker>,
    scope: Span,
}

/// From a connection to a session. The caller bounds it.
pub(super) async fn open(
    stream: net::Stream,
    link: &InProcessLink,
    settings: &ServerSettings,
) -> Result<Session, NotOpened> {
    let mut headers = Err(NotOpened::OtherVersion);
    #[allow(clippy::result_large_err, reason = "tungstenite's callback")]
    let upgrade = |request: &Request, response: Response| {
        headers = check(request.headers(), settings);
        match &headers {
            Ok(_) => Ok(speaking(response)),
            Err(NotOpened::WrongSecret) => Err(refusal(StatusCode::UNAUTHORIZED)),
            Err(_) => Err(refusal(StatusCode::UPGRADE_REQUIRED)),
        }
    };
    let socket = accept_hdr_async_with_config(stream, upgrade, Some(websocket(MAX_TO_WORKER))).await;
    let (socket, Asked { request_id, trace }) = match (socket, headers) {
        (Ok(socket), Ok(asked)) => (socket, asked),
        (Err(tungstenite::Error::Http(_)), Err(why)) => return Err(why),
        (Err(error), _) => return Err(NotOpened::NoUpgrade(error)),
        (Ok(_), Err(why)) => return Err(why),
    };

    let (mut reader, mut writer) = split(socket, settings.liveness);
    let offer = reader.next::<Offer>().await.map_err(NotOpened::NoOffer)?.with(request_id, trace);
    let scope = dalston_telemetry::scope(offer.request_id.as_str(), Some(offer.session_id.as_str()));
    match link.open(offer).await {
        Ok(SessionChannel { to_worker, from_worker }) => {
            writer.say(text(&Answer::Accepted)).await.map_err(NotOpened::NoAnswer)?;
            Ok(Session { reader, writer, to_worker, from_worker, scope })
        }
        Err(refusal) => {
            writer.say(text(&Answer::from(refusal))).await.map_err(NotOpened::NoAnswer)?;
            writer.part().await;
            Err(NotOpened::Refused)
        }
    }
}

/// What the upgrade's headers say.
struct Asked {
    request_id: RequestId,
    trace: TraceContext,
}

/// The secret first: who does not know it learns nothing else.
fn check(headers: &HeaderMap, settings: &ServerSettings) -> Result<Asked, NotOpened> {
    if !settings.secret.is_proven_by(headers.get(header::AUTHORIZATION)) {
        return Err(NotOpened::WrongSecret);
    }
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if value(header::SEC_WEBSOCKET_PROTOCOL.as_str()) != Some(PROTOCOL) {
        return Err(NotOpened::OtherVersion);
    }
    Ok(Asked {
        request_id: value(REQUEST_ID).and_then(RequestId::from_caller).unwrap_or_else(RequestId::generate),
        trace: value(TRACEPARENT).map_or_else(TraceContext::none, TraceContext::from_traceparent),
    })
}

fn speaking(mut response: Response) -> Response {
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    response
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = status;
    response
}

impl Received for Offer {
    fn audio(_: bytes::Bytes) -> Result<Self, Garbage> {
        Err(Garbage)
    }

    fn text(text: &str) -> Result<Self, Garbage> {
        read(text)
    }
}

impl Session {
    /// Moves both directions until the worker has said its last word, or the gateway is gone.
    pub(super) async fn run(self) {
        let Self { mut reader, mut writer, to_worker, mut from_worker, scope } = self;
        let work = async {
            let gateway_gone = hear(&mut reader, to_worker);
            let session_over = writer.say_all(&mut from_worker);
            tokio::select! {
                lost = gateway_gone => {
                    info!(event = "gateway_lost", %lost, "a gateway was lost in the middle of a session");
                    return;
                }
                // What could not be written cannot be heard either.
                _ = session_over => {}
            }
            writer.part().await;
            // To its end: a connection that is dropped with something unread in it is reset, and takes the last word along.
            let _ = timeout(PARTING, reader.drain()).await;
        };
        work.instrument(scope).await;
    }
}

/// Passes on what the gateway says, until nothing more can come of it.
async fn hear(reader: &mut Reader, to_worker: mpsc::Sender<ToWorker>) -> Lost {
    let mut to_worker = Some(to_worker);
    loop {
        match reader.next::<FromGateway>().await {
            Ok(FromGateway::Says(message)) => {
                if let Some(open) = &to_worker {
                    // A worker that hears nothing more is about to end; what still comes has nobody to hear it.
                    if open.send(message).await.is_err() {
                        to_worker = None;
                    }
                }
            }
            Ok(FromGateway::Vanished) => to_worker = None,
            Err(lost) => return lost,
        }
    }
}
