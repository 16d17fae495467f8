//! From settings to what each part of the server is told, with the checks that concern more than one setting.

use std::{fs, io, path::PathBuf, time::Duration};

use dalston_gateway::{
    GatewayConfig, GatewayError, HttpLimits, JobSettings, StreamLimits,
    auth::{AuthConfig, ServerSecret},
};
use dalston_realtime::{LagLimits, RealtimeConfig};

use super::{
    choice::AuthMode,
    layers::Layers,
    problem::Problem,
    settings::Settings,
    value::{Choice, Value},
};

/// The file in the data directory that holds the server's secret.
const SECRET_FILE: &str = "server-secret";

impl Settings {
    /// Where the server keeps what must outlive it. It need not exist.
    ///
    /// # Errors
    /// When it is not set and there is no home directory.
    pub fn data_dir(&self) -> Result<PathBuf, Problem> {
        let from_home = |variable, below| std::env::var_os(variable).map(|home| PathBuf::from(home).join(below));
        self.data_dir
            .clone()
            .or_else(|| from_home("XDG_DATA_HOME", "dalston"))
            .or_else(|| from_home("HOME", ".local/share/dalston"))
            .ok_or_else(|| Problem::new("data_dir", "is not set, and neither is HOME; set DALSTON_DATA_DIR"))
    }

    /// Where the server's secret is kept when it is not set.
    ///
    /// # Errors
    /// As [`data_dir`](Self::data_dir).
    pub fn secret_file(&self) -> Result<PathBuf, Problem> {
        Ok(self.data_dir()?.join(SECRET_FILE))
    }

    /// The secret that is set, or the one in the data directory, if any.
    ///
    /// # Errors
    /// When its file cannot be read or holds something else.
    pub fn server_secret(&self) -> Result<Option<ServerSecret>, Problem> {
        if let Some(secret) = &self.server_secret {
            return Ok(Some(secret.clone()));
        }
        let file = self.secret_file()?;
        let problem = |message: String| Problem::new(file.display().to_string(), message);
        match fs::read_to_string(&file) {
            Ok(text) => match ServerSecret::parse(text.trim()) {
                Some(secret) => Ok(Some(secret)),
                None => Err(problem(format!("expected {}", ServerSecret::expected()))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(problem(format!("cannot be read: {error}"))),
        }
    }

    /// What the realtime worker is told.
    pub fn realtime(&self) -> RealtimeConfig {
        RealtimeConfig {
            max_sessions: self.max_sessions.get(),
            vad: self.vad.0,
            profile: self.engine_profile.0,
            partial_interval: self.partial_interval.get(),
            lag: LagLimits { warning: self.lag_warning.get(), hard: self.lag_limit.get(), grace: self.lag_grace.get() },
            engine_deadline: self.engine_deadline.get(),
            drain_deadline: self.drain_deadline.get(),
            write_deadline: self.write_timeout.get(),
        }
    }

    /// What the batch API is told.
    pub fn jobs(&self) -> JobSettings {
        JobSettings {
            max_upload: self.max_upload.get() as u64,
            max_uploads: self.max_uploads.get(),
            upload_timeout: self.upload_timeout.get(),
            ..JobSettings::default()
        }
    }

    /// How requests to other servers are made.
    pub fn egress(&self) -> dalston_egress::Settings {
        dalston_egress::Settings {
            allow: self.egress_allow.clone(),
            ca_file: self.egress_ca_file.clone(),
            ..dalston_egress::Settings::default()
        }
    }

    /// What the gateway is told.
    ///
    /// # Errors
    /// What is wrong with who is let in.
    pub fn gateway(&self, layers: &Layers) -> Result<GatewayConfig, Problem> {
        let config = GatewayConfig { auth: self.auth(layers)?, http: self.http(), stream: self.stream() };
        match config.check() {
            Ok(()) => Ok(config),
            Err(GatewayError::Config { key, problem }) => Err(Problem::new(format!("gateway.{key}"), problem)),
            Err(other) => Err(Problem::new("gateway", other.to_string())),
        }
    }

    fn http(&self) -> HttpLimits {
        HttpLimits {
            max_connections: self.max_connections.get(),
            header_timeout: self.header_timeout.get(),
            request_timeout: self.request_timeout.get(),
            max_body: self.max_body.get(),
            dead_peer: self.dead_peer.get(),
            drain_timeout: self.drain_timeout.get(),
            public_metrics: self.public_metrics,
        }
    }

    fn stream(&self) -> StreamLimits {
        StreamLimits {
            max_message: self.max_message.get(),
            max_text: self.max_text.get(),
            // Their bounds are far below what a u32 holds.
            messages_per_second: self.messages_per_second.get() as u32,
            message_burst: self.message_burst.get() as u32,
            idle_timeout: self.idle_timeout.get(),
            ping_interval: self.ping_interval.get(),
            write_timeout: self.write_timeout.get(),
            close_timeout: self.close_timeout.get(),
            allocate_timeout: self.allocate_timeout.get(),
            worker_timeout: self.worker_timeout.get(),
            max_duration: self.max_duration.map(|longest| -> Duration { longest.get() }),
            sessions_per_key: self.sessions_per_key.map(|most| most.get()),
        }
    }

    fn auth(&self, layers: &Layers) -> Result<AuthConfig, Problem> {
        let keys = &self.api_keys.0;
        let unset = if keys.is_empty() { AuthMode::None } else { AuthMode::Keys };
        let mode = self.auth.map_or(unset, |Choice(mode)| mode);
        let create = "create one with `dalston keys create --name NAME --scope realtime`";
        match mode {
            AuthMode::None if !self.bind.ip().is_loopback() => {
                let message = format!(
                    "other machines can reach this address and nobody is asked for a key; {create}, or bind 127.0.0.1"
                );
                Err(Problem::new(layers.place_of("bind"), message))
            }
            AuthMode::None => Ok(AuthConfig::None { allowed_origins: self.allowed_origins.clone() }),
            AuthMode::Keys if keys.is_empty() => {
                Err(Problem::new(layers.place_of("gateway.auth.mode"), format!("there is no key; {create}")))
            }
            AuthMode::Keys => match self.server_secret()? {
                Some(server_secret) => Ok(AuthConfig::Keys { server_secret, keys: keys.clone() }),
                None => {
                    let message = format!(
                        "is needed to check keys, and {} is not there either; set it, or run `dalston keys create` on this \
                         machine",
                        self.secret_file()?.display()
                    );
                    Err(Problem::new(layers.place_of("gateway.auth.server_secret"), message))
                }
            },
        }
    }
}
