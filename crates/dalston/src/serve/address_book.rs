//! What a server says of itself when it is ready: where it is, what it can do, how to try it.

use std::{
    io::{self, Write, stdout},
    net::SocketAddr,
};

use dalston_engine_sdk::Capabilities;
use dalston_gateway::auth::AuthConfig;
use dalston_protocol::realtime::STREAM_PATH;

use super::engine::kind;
use crate::config::{Config, EngineName};

/// The server, as its operator sees it.
pub struct AddressBook<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// What live sessions are recognised with, the default one first.
    pub capabilities: &'a [Capabilities],
    /// What it was told.
    pub config: &'a Config,
}

impl AddressBook<'_> {
    /// Prints it. Whoever reads the output knows by it that the server is ready.
    ///
    /// # Errors
    /// When writing fails.
    pub fn print(&self) -> io::Result<()> {
        let mut out = stdout().lock();
        writeln!(out, "dalston {} is ready", env!("CARGO_PKG_VERSION"))?;
        for (name, text) in self.entries() {
            writeln!(out, "  {name:<8} {text}")?;
        }
        out.flush()
    }

    fn entries(&self) -> Vec<(&'static str, String)> {
        let address = self.address;
        let before = [
            ("http", format!("http://{address}")),
            ("ws", format!("ws://{address}{STREAM_PATH}")),
            ("metrics", format!("http://{address}/metrics")),
        ];
        let after = [
            ("auth", self.auth()),
            ("tracing", self.tracing()),
            ("try", format!("dalston stream FILE.wav --url http://{address}")),
        ];
        let engines = self.engines().into_iter().map(|engine| ("engine", engine));
        before.into_iter().chain(engines).chain(after).collect()
    }

    /// What the engines are worth, in one honest line each.
    fn engines(&self) -> Vec<String> {
        let line = |name: &EngineName| {
            let engine = self.capabilities.iter().find(|engine| engine.engine_id == name.as_str());
            let shown = engine.map_or_else(|| name.as_str().to_owned(), Capabilities::full_name);
            format!("{shown} ({})", kind(*name).worth())
        };
        self.config.settings.engines.iter().map(line).collect()
    }

    fn auth(&self) -> String {
        match &self.config.gateway.auth {
            AuthConfig::None { .. } => "off, for this machine only; `dalston keys create` makes a key".to_owned(),
            AuthConfig::Keys { keys, .. } => {
                format!("on, {} key{}", keys.len(), if keys.len() == 1 { "" } else { "s" })
            }
        }
    }

    fn tracing(&self) -> String {
        let telemetry = &self.config.telemetry;
        let ring = telemetry.trace_ring.map(|ring| format!("the last {} spans at /v1/traces", ring.spans));
        let collector = telemetry.otel_enabled.then(|| format!("spans go to {}", telemetry.endpoint));
        let ways: Vec<String> = ring.into_iter().chain(collector).collect();
        if ways.is_empty() {
            return "off; --trace-ring keeps recent sessions, OTEL_ENABLED=true sends to a collector".to_owned();
        }
        ways.join("; ")
    }
}
