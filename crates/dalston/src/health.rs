//! `dalston health`: whether a server answers. For container engines and supervisors: an image without curl can ask.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use dalston_client::Endpoint;

use crate::{cli::HealthArgs, config, http};

/// Asks once. Fails with what was answered, or with why nothing was.
pub async fn run(args: &HealthArgs) -> Result<ExitCode> {
    let endpoint = match &args.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => own_endpoint(config::read(args.config.as_deref(), config::environment(), &[]).0.bind)?,
    };
    let route = if args.ready { "/readyz" } else { "/healthz" };
    let answer = http::get(&endpoint, route, None).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    Ok(ExitCode::SUCCESS)
}

/// Where the server that binds this address answers on its own machine.
fn own_endpoint(mut bind: SocketAddr) -> Result<Endpoint> {
    ensure!(bind.port() != 0, "the server takes a free port; say which one it is with --url");
    if bind.ip().is_unspecified() {
        bind.set_ip(if bind.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    format!("http://{bind}").parse().context("an address is an endpoint")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_all_addresses_is_asked_at_loopback() {
        for (bind, expected) in
            [("0.0.0.0:8000", "127.0.0.1:8000"), ("[::]:8000", "[::1]:8000"), ("10.1.2.3:81", "10.1.2.3:81")]
        {
            assert_eq!(own_endpoint(bind.parse().unwrap()).unwrap().authority(), expected);
        }
        assert!(own_endpoint("127.0.0.1:0".parse().unwrap()).is_err());
    }
}
