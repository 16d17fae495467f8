//! HTTP and WebSocket at the edge: authentication, limits, dialects.
//!
//! The gateway knows how clients speak and which worker was given; it knows nothing of audio, engines, or what a worker
//! does. A live session is a socket on one side, a [`SessionChannel`](dalston_session_router::link::SessionChannel) on
//! the other, and a pump between them that holds no more than a few messages.
//!
//! ```no_run
//! # async fn run(deps: dalston_gateway::Deps) -> Result<(), Box<dyn std::error::Error>> {
//! use dalston_gateway::{Gateway, GatewayConfig};
//!
//! let gateway = Gateway::new(GatewayConfig::default(), deps)?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! gateway.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or_default() }, async {}).await?;
//! # Ok(()) }
//! ```

mod api;
pub mod auth;
mod batch;
mod config;
mod error;
mod gateway;
mod rate;
mod server;
mod stream;

pub use api::{RouteInfo, routes};
pub use batch::{JobSettings, Jobs};
pub use config::{GatewayConfig, HttpLimits, StreamLimits};
pub use error::GatewayError;
pub use gateway::{Deps, Gateway};
#[doc(hidden)]
pub use stream::echo;
