//! One request to a server, with a deadline and a limit.

use std::{pin::pin, time::Duration};

use anyhow::{Context, Error, Result, anyhow};
use bytes::Bytes;
use dalston_client::{ApiKey, Endpoint};
use dalston_protocol::ErrorBody;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::refusal::unauthorized;

/// Longest wait for a whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer: a ring's worth of spans is below it.
const LARGEST: usize = 64 << 20;

/// The body of a good answer. Any other is an error in the server's own words.
pub async fn get(endpoint: &Endpoint, route: &str, api_key: Option<&ApiKey>) -> Result<Bytes> {
    send(endpoint, Method::GET, route, api_key, Vec::new()).await
}

/// The same with another method, and a body of JSON.
pub async fn send(
    endpoint: &Endpoint,
    method: Method,
    route: &str,
    api_key: Option<&ApiKey>,
    body: Vec<u8>,
) -> Result<Bytes> {
    let (status, body) = timeout(PATIENCE, exchange(endpoint, method, route, api_key, body))
        .await
        .with_context(|| format!("{endpoint} did not answer within {PATIENCE:?}"))??;
    if status.is_success() {
        return Ok(body);
    }
    Err(refused(endpoint, status, &body))
}

/// The same as [`get`], with nothing for what is not there.
pub async fn find(endpoint: &Endpoint, route: &str, api_key: Option<&ApiKey>) -> Result<Option<Bytes>> {
    let (status, body) = timeout(PATIENCE, exchange(endpoint, Method::GET, route, api_key, Vec::new()))
        .await
        .with_context(|| format!("{endpoint} did not answer within {PATIENCE:?}"))??;
    match status {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(body)),
        status => Err(refused(endpoint, status, &body)),
    }
}

fn refused(endpoint: &Endpoint, status: StatusCode, body: &[u8]) -> Error {
    let told = serde_json::from_slice::<ErrorBody>(body).ok().map(|body| body.error);
    match (status, told) {
        (StatusCode::UNAUTHORIZED, told) => Error::msg(unauthorized(told.map(|told| told.code))),
        (_, Some(told)) => Error::msg(told.message),
        (status, None) => anyhow!("{endpoint} answered {status}"),
    }
}

async fn exchange(
    endpoint: &Endpoint,
    method: Method,
    route: &str,
    api_key: Option<&ApiKey>,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes)> {
    let request = Request::builder().method(method).uri(endpoint.path(route));
    let mut request = request.header(header::HOST, endpoint.authority());
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(key) = api_key {
        request = request.header(header::AUTHORIZATION, key.bearer()?);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
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
    // The connection is driven beside the exchange and ends with it, or before it: a server that closes behind its answer
    // has answered.
    let mut exchange = pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            let answer = exchange.await;
            ended?;
            answer.with_context(|| format!("{endpoint} hung up"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that answers every connection with these bytes and closes it.
    async fn answering(answer: &'static str) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                let _ = client.read(&mut head).await.unwrap();
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        endpoint
    }

    #[tokio::test]
    async fn a_server_that_closes_behind_its_answer_has_answered() {
        let server = answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}").await;
        // Which of the two is seen first is chance.
        for _ in 0..50 {
            assert_eq!(get(&server, "/", None).await.unwrap(), "{}");
        }
    }

    #[tokio::test]
    async fn a_server_that_closes_instead_of_answering_has_not() {
        let error = get(&answering("").await, "/", None).await.unwrap_err();
        assert!(format!("{error:#}").contains("hung up"), "{error:#}");
        assert!(get(&answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}").await, "/", None).await.is_err());
    }
}
