//! Gives back every WebSocket message, through the gateway's accept loop, handshake and limits, for conformance
//! suites to talk to.
//!
//! Prints its address, and ends when standard input does.

use std::sync::Arc;

use dalston_gateway::{Deps, Gateway, GatewayConfig, echo};
use dalston_session_router::{InProcessRegistry, RegistryTimes, RouterSettings, SessionRouter};
use dalston_telemetry::{Metrics, Tracers};
use tokio::{io, net::TcpListener};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (tracers, metrics) = (Tracers::off(), Arc::new(Metrics::new()));
    let registry = Arc::new(InProcessRegistry::new(RegistryTimes::default()));
    let router = SessionRouter::new(registry, RouterSettings::default(), tracers.clone(), metrics.clone());
    let gateway = Gateway::new(GatewayConfig::default(), Deps { router: Arc::new(router), tracers, metrics })?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let input_ended = async {
        // An input that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink()).await;
    };
    echo::serve(gateway, listener, input_ended).await;
    Ok(())
}
