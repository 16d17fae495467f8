//! One connection to one checked address, for one request.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::{EgressError, patience::Patience, target::Target, tls};

/// Addresses that are tried, of a name that has more.
const MAX_ADDRESSES: usize = 4;
/// Bytes of an answer's head.
const MAX_HEAD: usize = 64 * 1024;

/// An open connection. Dropped, it is closed, whatever is still on its way.
pub(crate) struct Connection {
    pub(crate) sender: http1::SendRequest<Full<Bytes>>,
    pub(crate) driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to the first of `addresses` that answers. They are the only ones: nothing here looks up a name.
    pub(crate) async fn open(
        target: &Target,
        addresses: &[IpAddr],
        tls: &TlsConnector,
        limit: Duration,
        patience: &Patience,
    ) -> Result<Self, EgressError> {
        let stream = reach(addresses, target.port(), limit, patience).await?;
        if !target.is_secure() {
            return Self::over(stream).await;
        }
        let stream = patience.wait_for(limit, tls::secure(tls, &target.host(), stream)).await?;
        Self::over(stream.map_err(EgressError::Tls)?).await
    }

    async fn over<S>(stream: S) -> Result<Self, EgressError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(EgressError::Broken)?;
        // Its end is told by the answer's body, or by there being none.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver: AbortOnDropHandle::new(driver) })
    }
}

async fn reach(
    addresses: &[IpAddr],
    port: u16,
    limit: Duration,
    patience: &Patience,
) -> Result<TcpStream, EgressError> {
    let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
    // One that does not answer leaves time for the next.
    let share = limit / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut failure = EgressError::Connect(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for address in addresses {
        failure = match patience.wait_for(share, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => {
                // A request is written in one go; there is nothing to wait for.
                stream.set_nodelay(true).map_err(EgressError::Connect)?;
                return Ok(stream);
            }
            Ok(Err(error)) => EgressError::Connect(error),
            Err(error @ EgressError::Timeout(_)) => return Err(error),
            Err(error) => EgressError::Connect(io::Error::new(io::ErrorKind::TimedOut, error)),
        };
    }
    Err(failure)
}
