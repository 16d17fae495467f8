//! From settings to what each part of the server is told, with the checks that concern more than one setting.

use std::{path::PathBuf, time::Duration};

use dalston_gateway::{
    GatewayConfig, GatewayError, HttpLimits, JobSettings, StreamLimits,
    auth::{AuthConfig, AuthMode},
};
use dalston_orchestrator::WebhookSettings;
use dalston_protocol::key::KeyLimits;
use dalston_realtime::{LagLimits, RealtimeConfig};

use super::{layers::Layers, problem::Problem, settings::Settings, value::Choice};

/// What is wrong with an address that others can reach.
pub const OPEN_TO_ALL: &str = "other machines can reach this address and nobody is asked for a key; create one with `dalston \
                               keys create --name NAME --scope realtime`, or bind 127.0.0.1";

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

    /// Where jobs and keys are kept.
    ///
    /// # Errors
    /// As [`data_dir`](Self::data_dir).
    pub fn database_url(&self) -> Result<String, Problem> {
        match &self.database {
            Some(url) => Ok(url.expose().to_owned()),
            None => Ok(format!("sqlite:{}", self.data_dir()?.join("jobs.db").display())),
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
            // Where gateways are other processes, it is the worker that lets its sessions end.
            linger: if self.redis.is_some() { self.drain_timeout.get() } else { Duration::ZERO },
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

    /// How webhooks are told.
    pub fn webhooks(&self) -> WebhookSettings {
        let timeout = self.webhook_timeout.get();
        WebhookSettings {
            timeout,
            // Whoever is killed while it tells leaves its message to the next after three times as long as it may take.
            lease: timeout * 3,
            retries: self.webhook_retries.iter().map(|wait| wait.get()).collect(),
            ..WebhookSettings::default()
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
            move_timeout: self.move_timeout.get(),
            resume_window: self.resume_window.get(),
            max_duration: self.max_duration.map(|longest| -> Duration { longest.get() }),
        }
    }

    fn auth(&self, layers: &Layers) -> Result<AuthConfig, Problem> {
        let mode = self.auth.map(|Choice(mode)| mode);
        // Unless it is set, it depends on the keys there are, and is looked at when their database is open.
        if mode == Some(AuthMode::None) && !self.bind.ip().is_loopback() {
            return Err(Problem::new(layers.place_of("bind"), OPEN_TO_ALL));
        }
        // Their bounds are far below what a u32 holds.
        let limits = KeyLimits {
            max_sessions: self.sessions_per_key.map(|most| most.get() as u32),
            max_jobs: self.jobs_per_key.map(|most| most.get() as u32),
            max_uploads: self.uploads_per_key.map(|most| most.get() as u32),
            requests_per_second: self.requests_per_key.map(|most| most.get() as u32),
        };
        Ok(AuthConfig { mode, allowed_origins: self.allowed_origins.clone(), limits })
    }
}
