//! One function a check.

use std::{
    fs, io,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use rustix::fs::{Access, access};

use super::Finding;
use dalston_engine_sdk::EngineError;

use crate::{
    config::{ConfigError, EngineName, Settings},
    serve::{
        engine::{self, Found},
        limits,
    },
};

/// Whether the settings are accepted.
pub fn configuration(configured: Result<(), ConfigError>) -> Finding {
    match configured {
        Ok(()) => Finding::ok("configuration", "accepted"),
        Err(ConfigError(problems)) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Finding::problem("configuration", problems.join("; "), "docs/configuration.md lists every setting")
        }
    }
}

/// Whether the port can be had.
pub fn address(settings: &Settings) -> Finding {
    let address = settings.bind;
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("address", format!("{address} is free")),
        Err(error) => {
            let fix = match error.kind() {
                io::ErrorKind::AddrInUse => "end what listens there, or choose another with --bind",
                io::ErrorKind::PermissionDenied => "choose a port from 1024 on with --bind",
                _ => "choose an address of this machine with --bind",
            };
            Finding::problem("address", format!("{address}: {error}"), fix)
        }
    }
}

/// Whether the server can keep what it must.
pub fn data_dir(settings: &Settings) -> Finding {
    let dir = match settings.data_dir() {
        Ok(dir) => dir,
        Err(problem) => return Finding::problem("data directory", problem.to_string(), "set DALSTON_DATA_DIR"),
    };
    // It is made when it is needed, below the nearest folder that is there.
    let there = dir.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("."));
    let refusal = match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if there.is_dir() => {
            return Finding::ok("data directory", format!("{} can be written", dir.display()));
        }
        Ok(()) => "not a folder".to_owned(),
        Err(error) => error.to_string(),
    };
    let fix = "give it to the server's user, or choose another with --data-dir";
    Finding::problem("data directory", format!("{}: {refusal}", there.display()), fix)
}

/// Whether the kernel lets the server have a socket per session.
pub fn open_files(settings: &Settings) -> Finding {
    /// Beside the sessions: listener, runtime, engine, exporter, logs.
    const OTHERS: u64 = 100;
    let needed = settings.max_sessions.get() as u64 + OTHERS;
    match limits::most_open_files() {
        most if most >= needed => Finding::ok("open files", format!("{most} are allowed, {needed} are needed")),
        most => Finding::warning(
            "open files",
            format!("{most} are allowed, {needed} are needed for max_sessions"),
            format!("raise the hard limit (`ulimit -Hn {needed}`, or LimitNOFILE={needed} in a systemd unit)"),
        ),
    }
}

/// Whether there is room for the engine and the sessions.
pub fn memory(settings: &Settings) -> Finding {
    const MIB: u64 = 1 << 20;
    /// What a server takes that does nothing.
    const SERVER: u64 = 30 * MIB;
    /// What a session takes, measured with all of them speaking; the decoder apart.
    const SESSION: u64 = 96 * 1024;
    let needed = SERVER + settings.max_sessions.get() as u64 * SESSION + engine::memory(settings);
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|meminfo| available_memory(&meminfo));
    match available {
        Some(available) if available >= needed => {
            Finding::ok("memory", format!("{} MiB are free, {} MiB are needed at most", available / MIB, needed / MIB))
        }
        Some(available) => Finding::warning(
            "memory",
            format!("{} MiB are free, {} MiB are needed at most", available / MIB, needed / MIB),
            "lower DALSTON_MAX_SESSIONS, or give the machine more memory",
        ),
        None => Finding::warning("memory", "/proc/meminfo cannot be read", "mount /proc"),
    }
}

fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Whether the collector takes connections.
pub fn collector(settings: &Settings, endpoint: &str) -> Finding {
    const PATIENCE: Duration = Duration::from_secs(2);
    if !settings.otel_enabled {
        return Finding::ok("collector", "not used; OTEL_ENABLED=true sends spans to one");
    }
    let fix = "start the collector, or set OTEL_EXPORTER_OTLP_ENDPOINT to its gRPC address; sessions go on without it";
    let addresses = match authority(endpoint).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Finding::warning("collector", format!("{endpoint}: {error}"), fix),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Finding::ok("collector", format!("{endpoint} takes connections")),
            Err(error) => last = error,
        }
    }
    Finding::warning("collector", format!("{endpoint}: {last}"), fix)
}

/// Host and port of an `http://` URL.
fn authority(endpoint: &str) -> String {
    let authority = endpoint.strip_prefix("http://").unwrap_or(endpoint);
    let authority = authority.split('/').next().unwrap_or(authority);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { authority.to_owned() } else { format!("{authority}:80") }
}

/// Whether the engines can be had, each by itself.
pub fn engines(settings: &Settings) -> Vec<Finding> {
    settings.engines.iter().map(|name| engine(settings, *name)).collect()
}

fn engine(settings: &Settings, name: EngineName) -> Finding {
    match engine::kind(name).look(settings) {
        Ok(Found { what, better: None }) => Finding::ok("engine", what),
        Ok(Found { what, better: Some(better) }) => Finding::warning("engine", what, better),
        Err(EngineError::Unavailable { what, fix }) => Finding::problem("engine", format!("{what} is missing"), fix),
        Err(other) => Finding::problem("engine", other.to_string(), "see docs/configuration.md"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collectors_port_is_found_in_its_url() {
        assert_eq!(authority("http://localhost:4317"), "localhost:4317");
        assert_eq!(authority("http://collector/"), "collector:80");
        assert_eq!(authority("http://[::1]:4317/v1"), "[::1]:4317");
    }

    #[test]
    fn available_memory_is_read_from_the_kernels_words() {
        assert_eq!(available_memory("MemTotal: 5 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(available_memory(""), None);
    }
}
