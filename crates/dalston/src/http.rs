//! One GET to a server, with a deadline and a limit.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use dalston_client::{ApiKey, Endpoint};
use dalston_protocol::ErrorBody;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer: a ring's worth of spans is below it.
const LARGEST: usize = 64 << 20;

/// The body of a good answer. Any other is an error in the server's own words.
pub async fn get(endpoint: &Endpoint, route: &str, api_key: Option<&ApiKey>) -> Result<Bytes> {
    let (status, body) = timeout(PATIENCE, exchange(endpoint, route, api_key))
        .await
        .with_context(|| format!("{endpoint} did not answer within {PATIENCE:?}"))??;
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(told) => bail!("{}", told.error.message),
        Err(_) => bail!("{endpoint} answered {status}"),
    }
}

async fn exchange(endpoint: &Endpoint, route: &str, api_key: Option<&ApiKey>) -> Result<(StatusCode, Bytes)> {
    let mut request = Request::get(endpoint.path(route)).header(header::HOST, endpoint.authority());
    if let Some(key) = api_key {
        request = request.header(header::AUTHORIZATION, key.bearer()?);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let tcp = TcpStream::connect(endpoint.socket())
        .await
        .with_context(|| format!("cannot reach {endpoint}; start a server there with `dalston serve`"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven beside the exchange and ends with it.
    tokio::select! {
        answer = exchange => answer,
        ended = connection => {
            ended?;
            bail!("{endpoint} hung up")
        }
    }
}
