//! What a server says of itself when it is ready: where it is, what it can do, how to try it.

use std::{
    io::{self, Write, stdout},
    net::SocketAddr,
};

use dalston_engine_sdk::Capabilities;
use dalston_protocol::realtime::STREAM_PATH;

use super::engine::{Engines, kind};
use crate::config::{Config, EngineName, Role};

/// The server, as its operator sees it.
pub struct AddressBook<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// The engines that run in this process, if any do.
    pub engines: Option<&'a Engines>,
    /// What it was told.
    pub config: &'a Config,
    /// Who is let in.
    pub auth: String,
}

impl AddressBook<'_> {
    /// Says it on standard output and, in one line, in the log. Whoever reads either knows by it that the server is ready. A server
    /// serves on when nobody reads what it prints any longer, such as `head -n 1`.
    ///
    /// # Errors
    /// When writing fails.
    pub fn print(&self) -> io::Result<()> {
        let mut text = format!("dalston {} is ready\n", env!("CARGO_PKG_VERSION"));
        for (name, entry) in self.entries() {
            text += &format!("  {name:<8} {entry}\n");
        }
        tracing::info!(address = %self.address, "ready");
        let mut out = stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }

    fn entries(&self) -> Vec<(&'static str, String)> {
        let (address, role) = (self.address, &self.config.settings.role);
        let mut entries = Vec::new();
        if !role.is_all() {
            entries.push(("role", role.to_string()));
        }
        if role.has(Role::Gateway) {
            entries.push(("http", format!("http://{address}")));
            entries.push(("ws", format!("ws://{address}{STREAM_PATH}")));
        } else {
            entries.push(("probes", format!("http://{address}/readyz")));
        }
        entries.push(("metrics", format!("http://{address}/metrics")));
        entries.extend(self.engines().into_iter().map(|engine| ("engine", engine)));
        if role.has(Role::Gateway) {
            entries.push(("auth", self.auth.clone()));
        }
        entries.push(("tracing", self.tracing()));
        if role.has(Role::Gateway) {
            entries.push(("try", format!("dalston stream FILE.wav --url http://{address}")));
        }
        entries
    }

    /// What the engines are worth, in one honest line each.
    fn engines(&self) -> Vec<String> {
        let Some(engines) = self.engines else { return Vec::new() };
        let running: Vec<Capabilities> =
            engines.streaming().iter().map(|engine| engine.capabilities().clone()).collect();
        let line = |name: &EngineName| {
            let engine = running.iter().find(|engine| engine.engine_id == name.as_str());
            let shown = engine.map_or_else(|| name.as_str().to_owned(), Capabilities::full_name);
            format!("{shown} ({})", kind(*name).worth())
        };
        self.config.settings.engines.iter().map(line).collect()
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
