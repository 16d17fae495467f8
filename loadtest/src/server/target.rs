//! Where the server is, and what it says of itself over HTTP.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use dalston_client::{ApiKey, Buffers, Endpoint, StreamClient};
use dalston_protocol::realtime::SessionConfig;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep, timeout},
};

/// The server under test.
#[derive(Debug, Clone)]
pub struct Target {
    endpoint: Endpoint,
    api_key: Option<ApiKey>,
}

impl Target {
    /// For one answer.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Bytes of one answer.
    const MAX_ANSWER: usize = 4 << 20;

    /// A server at this address.
    ///
    /// # Errors
    /// When the name leads nowhere, or to another machine and `allow_remote` is not given: load on a machine that is not one's
    /// own is an attack.
    pub async fn new(endpoint: Endpoint, api_key: Option<ApiKey>, allow_remote: bool) -> anyhow::Result<Self> {
        let (host, port) = endpoint.socket();
        let addresses: Vec<IpAddr> = lookup_host((host, port))
            .await
            .with_context(|| format!("{} leads nowhere", endpoint.authority()))?
            .map(|address| address.ip())
            .collect();
        if let Some(remote) = addresses.iter().find(|address| !address.is_loopback()).filter(|_| !allow_remote) {
            bail!(
                "{} is {remote}, not this machine; to load a machine that is yours, add --allow-remote",
                endpoint.authority()
            );
        }
        Ok(Self { endpoint, api_key })
    }

    /// Where it is.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The key to authenticate with.
    #[must_use]
    pub const fn api_key(&self) -> Option<&ApiKey> {
        self.api_key.as_ref()
    }

    /// Opens sessions that are to be so.
    #[must_use]
    pub fn client(&self, config: SessionConfig) -> StreamClient {
        StreamClient::new(self.endpoint.clone())
            .api_key(self.api_key.clone())
            .config(config)
            .buffers(Buffers::SMALL)
            .patience(Self::PATIENCE)
    }

    /// Waits until it takes sessions.
    ///
    /// # Errors
    /// When it does not in time, with what it said last.
    pub async fn ready(&self, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let answer = self.get("/readyz").await;
            if let Ok((StatusCode::OK, _)) = answer {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let said = match answer {
                    Ok((status, _)) => format!("/readyz says {status}"),
                    Err(error) => format!("{error:#}"),
                };
                bail!("{} is not ready: {said}", self.endpoint);
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Slots that its workers hold for sessions.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn used_slots(&self) -> anyhow::Result<u64> {
        const STATUS: &str = "/v1/realtime/status";
        let (status, body) = self.get(STATUS).await?;
        ensure!(status == StatusCode::OK, "{STATUS} says {status}");
        let status: Value = serde_json::from_slice(&body).with_context(|| format!("{STATUS} is not JSON"))?;
        status
            .pointer("/sessions/used")
            .and_then(Value::as_u64)
            .with_context(|| format!("{STATUS} has no sessions.used"))
    }

    /// One HTTP request on a connection of its own.
    async fn get(&self, route: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        timeout(Self::PATIENCE, self.ask(route))
            .await
            .with_context(|| format!("no answer within {:?}", Self::PATIENCE))?
    }

    async fn ask(&self, route: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let tcp = TcpStream::connect(self.endpoint.socket())
            .await
            .with_context(|| format!("nothing answers at {}", self.endpoint.authority()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
        let mut request = Request::get(self.endpoint.path(route))
            .header(header::HOST, self.endpoint.authority())
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        if let Some(key) = &self.api_key {
            request.headers_mut().insert(header::AUTHORIZATION, key.bearer()?);
        }
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), Self::MAX_ANSWER).collect().await;
            anyhow::Ok((status, body.map_err(|error| anyhow::anyhow!(error))?.to_bytes()))
        };
        let (answer, _ended) = tokio::join!(exchange, connection);
        answer
    }
}
