//! Why a gateway does not start.

use std::net::SocketAddr;

use dalston_store::StoreError;

/// A problem of the operator's, found before a port is served.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A setting has a value that is not allowed.
    #[error("gateway.{key} {problem}")]
    Config {
        /// Below `gateway`.
        key: String,
        /// The value, and what would be right.
        problem: String,
    },
    /// Anybody who reaches the address could use the server.
    #[error(
        "refusing to serve {0}: other machines can reach this address and nobody is asked for a key; create one with `dalston \
         keys create`, or bind 127.0.0.1"
    )]
    PublicWithoutAuth(SocketAddr),
    /// The store does not say which keys there are.
    #[error("the keys cannot be read: {0}")]
    Keys(#[source] StoreError),
    /// The listener is not usable.
    #[error("the listener is not usable: {0}")]
    Listener(#[from] std::io::Error),
}
