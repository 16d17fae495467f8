//! One request and its answer, on a connection of its own.

use std::{io, time::Duration};

use bytes::Bytes;
use dalston_protocol::ErrorBody;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::PATIENCE;
use crate::{Endpoint, JobsError};

/// The body of a request.
pub(super) type Outgoing = BoxBody<Bytes, io::Error>;

/// Largest answer that is read whole: a transcript of a long day with words.
const LARGEST: usize = 256 << 20;

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response<Incoming>,
    authority: String,
    /// Ends with the answer.
    _connection: Connection,
}

#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request. `patience` is for the head of the answer; an upload has none, since its server takes as long as it takes
/// and cuts it itself.
pub(super) async fn send(
    endpoint: &Endpoint,
    request: Request<Outgoing>,
    patience: Option<Duration>,
) -> Result<Answer, JobsError> {
    let authority = endpoint.authority();
    let unreachable = |source: io::Error| match source.kind() {
        io::ErrorKind::ConnectionRefused => JobsError::NobodyThere { authority: authority.clone() },
        _ => JobsError::Unreachable { authority: authority.clone(), source },
    };
    let timed_out = || JobsError::Timeout { authority: authority.clone(), waited: PATIENCE };
    let tcp = timeout(PATIENCE, TcpStream::connect(endpoint.socket())).await.map_err(|_| timed_out())?;
    let tcp = tcp.map_err(unreachable)?;
    // A form ends with a piece that is smaller than a packet.
    tcp.set_nodelay(true).map_err(unreachable)?;
    let broken = |error: hyper::Error| JobsError::Broken { authority: authority.clone(), why: why(&error) };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(broken)?;
    // What goes wrong with the connection is told by the exchange.
    let connection = Connection(tokio::spawn(async { drop(connection.await) }));
    let response = match patience {
        Some(patience) => timeout(patience, sender.send_request(request)).await.map_err(|_| timed_out())?,
        None => sender.send_request(request).await,
    };
    let response = response.map_err(broken)?;
    Ok(Answer { response, authority: authority.clone(), _connection: connection })
}

impl Answer {
    /// The answer, if it is a good one. Any other is an error in the server's own words.
    pub(super) async fn ok(self) -> Result<Self, JobsError> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let authority = self.authority.clone();
        let body = self.bytes().await.unwrap_or_default();
        Err(refused(authority, status, &body))
    }

    /// All of the body.
    pub(super) async fn bytes(self) -> Result<Bytes, JobsError> {
        let body = Limited::new(self.response.into_body(), LARGEST).collect();
        match timeout(PATIENCE, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(JobsError::Broken { authority: self.authority, why: error.to_string() }),
            Err(_) => Err(JobsError::Timeout { authority: self.authority, waited: PATIENCE }),
        }
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, JobsError> {
        loop {
            let authority = || self.authority.clone();
            let frame = match timeout(PATIENCE, self.response.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame,
                Err(_) => return Err(JobsError::Timeout { authority: authority(), waited: PATIENCE }),
            };
            let frame = frame.map_err(|error| JobsError::Broken { authority: authority(), why: why(&error) })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

fn refused(authority: String, status: StatusCode, body: &[u8]) -> JobsError {
    let told = serde_json::from_slice::<ErrorBody>(body).ok().map(|body| body.error);
    let (code, message) = match told {
        Some(error) => (Some(error.code), error.message),
        None => (None, status.to_string()),
    };
    JobsError::Refused { authority, status: status.as_u16(), code, message }
}

/// hyper's own words and those of what is behind them.
fn why(error: &hyper::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
