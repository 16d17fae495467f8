//! What a server says of itself when it is ready: where it is, what it can do, how to try it.

use std::{
    io::{self, Write, stdout},
    net::SocketAddr,
};

use dalston_engine_sdk::Capabilities;
use dalston_gateway::auth::AuthConfig;
use dalston_protocol::realtime::STREAM_PATH;

use crate::config::{Config, EngineName};

/// The server, as its operator sees it.
pub struct AddressBook<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it recognises with.
    pub capabilities: &'a Capabilities,
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
        vec![
            ("http", format!("http://{address}")),
            ("ws", format!("ws://{address}{STREAM_PATH}")),
            ("metrics", format!("http://{address}/metrics")),
            ("engine", self.engine()),
            ("auth", self.auth()),
            ("tracing", self.tracing()),
            ("try", format!("dalston stream FILE.wav --url http://{address}")),
        ]
    }

    /// What the engine is worth, in one honest line.
    fn engine(&self) -> String {
        let quality = match self.config.settings.engine.0 {
            EngineName::PocketSphinx => "English only; about one word in four is wrong in free speech",
            EngineName::Loopback => "makes up words for tests; it does not recognise speech",
        };
        format!("{}/{} ({quality})", self.capabilities.engine_id, self.capabilities.model)
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
