//! Why a gateway does not start.

use std::net::SocketAddr;

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
        "refusing to serve {0} without authentication: set gateway.auth.mode = \"keys\" and create a key, or bind a loopback \
         address such as 127.0.0.1"
    )]
    PublicWithoutAuth(SocketAddr),
    /// The listener is not usable.
    #[error("the listener is not usable: {0}")]
    Listener(#[from] std::io::Error),
}
