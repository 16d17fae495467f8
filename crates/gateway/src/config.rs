//! What an operator may set. Every value has a default that works; every limit says what happens at it.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{GatewayError, auth::AuthConfig};

/// Settings of the gateway. In TOML, durations are seconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Who may do what.
    pub auth: AuthConfig,
    /// Limits of connections and HTTP.
    pub http: HttpLimits,
    /// Limits of live sessions.
    pub stream: StreamLimits,
}

impl GatewayConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn check(&self) -> Result<(), GatewayError> {
        self.http.check()?;
        self.stream.check()?;
        self.auth.check()
    }
}

/// Limits of connections and HTTP.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Open connections, sessions among them: 10 000. Beyond it a small reserve of connections still answers plain HTTP
    /// (so that a full server is not taken for a dead one) but no session; when the reserve is used up too, nothing is
    /// accepted until one ends, and the kernel queues what comes.
    pub max_connections: usize,
    /// A request's head must be complete in this time, and an idle connection may wait this long for its next request:
    /// 10 s. Then the connection is cut.
    #[serde(deserialize_with = "seconds")]
    pub header_timeout: Duration,
    /// A request must be answered in this time: 30 s. Then 503 is answered. Sessions are not bound by it.
    #[serde(deserialize_with = "seconds")]
    pub request_timeout: Duration,
    /// Bytes of a request's body: 64 KiB. Then 413.
    pub max_body: usize,
    /// A peer that acknowledges nothing, or takes nothing, for this long is cut by the kernel: 60 s.
    #[serde(deserialize_with = "seconds")]
    pub dead_peer: Duration,
    /// From the shutdown signal until the last session must have ended: 25 s. What is open then is cut.
    #[serde(deserialize_with = "seconds")]
    pub drain_timeout: Duration,
    /// Whether `/metrics` answers without a key. Else it takes one with the scope `read`.
    pub public_metrics: bool,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_body: 64 * 1024,
            dead_peer: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(25),
            public_metrics: false,
        }
    }
}

/// Limits of live sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamLimits {
    /// Bytes of one message, however many fragments it comes in: 1 MiB, which is 32 s of 16 kHz audio. Then close 1009.
    pub max_message: usize,
    /// Bytes of one text message: 64 KiB. Then close 1009.
    pub max_text: usize,
    /// Text messages and pings a second, in the long run: 50. Then close 4429.
    pub messages_per_second: u32,
    /// … and at once: 100.
    pub message_burst: u32,
    /// A client that sends neither audio nor a message for this long is idle: 60 s. Then close 4408. `keepalive` keeps
    /// it open.
    #[serde(deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// Time between pings: 20 s. A client of which nothing came for two of them, no pong either, is gone.
    #[serde(deserialize_with = "seconds")]
    pub ping_interval: Duration,
    /// A client that takes no byte of what waits for it for this long does not read: 10 s. Then close 4408.
    #[serde(deserialize_with = "seconds")]
    pub write_timeout: Duration,
    /// Wait for the client's half of the closing handshake: 5 s. Then the socket is closed without it.
    #[serde(deserialize_with = "seconds")]
    pub close_timeout: Duration,
    /// Wait for a worker to be found and to answer: 10 s. Then close 4503.
    #[serde(deserialize_with = "seconds")]
    pub allocate_timeout: Duration,
    /// Longest silence of a worker that owes an answer (it has taken no message, or not ended after `end`): 60 s. Then
    /// close 1011. Longer than the workers' own limits, or a session would be given up that is about to be answered.
    #[serde(deserialize_with = "seconds")]
    pub worker_timeout: Duration,
    /// Time to find another worker for a session whose own was lost: 30 s. Then close 1011.
    #[serde(deserialize_with = "seconds")]
    pub move_timeout: Duration,
    /// A session that its client may resume waits for it so long: 30 s. Then it ends as that of a client that is gone.
    #[serde(deserialize_with = "seconds")]
    pub resume_window: Duration,
    /// Longest session: none by default, since captions of a channel go on for ever. Then what was received is
    /// answered, and close 4429.
    #[serde(deserialize_with = "maybe_seconds")]
    pub max_duration: Option<Duration>,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_text: 64 * 1024,
            messages_per_second: 50,
            message_burst: 100,
            idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            allocate_timeout: Duration::from_secs(10),
            worker_timeout: Duration::from_secs(60),
            move_timeout: Duration::from_secs(30),
            resume_window: Duration::from_secs(30),
            max_duration: None,
        }
    }
}

impl HttpLimits {
    fn check(&self) -> Result<(), GatewayError> {
        at_least("http.max_connections", self.max_connections, 1)?;
        at_least("http.max_body", self.max_body, 1024)?;
        not_zero("http.header_timeout", self.header_timeout)?;
        not_zero("http.request_timeout", self.request_timeout)?;
        not_zero("http.dead_peer", self.dead_peer)
    }
}

impl StreamLimits {
    fn check(&self) -> Result<(), GatewayError> {
        at_least("stream.max_message", self.max_message, 1024)?;
        at_least("stream.max_text", self.max_text, 256)?;
        at_least("stream.messages_per_second", self.messages_per_second as usize, 1)?;
        at_least("stream.message_burst", self.message_burst as usize, 1)?;
        for (key, value) in [
            ("stream.idle_timeout", self.idle_timeout),
            ("stream.ping_interval", self.ping_interval),
            ("stream.write_timeout", self.write_timeout),
            ("stream.close_timeout", self.close_timeout),
            ("stream.allocate_timeout", self.allocate_timeout),
            ("stream.worker_timeout", self.worker_timeout),
            ("stream.move_timeout", self.move_timeout),
            ("stream.resume_window", self.resume_window),
            ("stream.max_duration", self.max_duration.unwrap_or(Duration::MAX)),
        ] {
            not_zero(key, value)?;
        }
        Ok(())
    }
}

pub(crate) fn at_least(key: &'static str, value: usize, least: usize) -> Result<(), GatewayError> {
    if value >= least {
        return Ok(());
    }
    Err(GatewayError::Config { key: key.into(), problem: format!("is {value}; at least {least} is needed") })
}

pub(crate) fn not_zero(key: &'static str, value: Duration) -> Result<(), GatewayError> {
    if !value.is_zero() {
        return Ok(());
    }
    Err(GatewayError::Config { key: key.into(), problem: "is 0; a time above 0 is needed".into() })
}

/// Longest time a setting may ask for: a year, far below where clocks overflow.
const LONGEST: f64 = 365.0 * 86_400.0;

pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if !(0.0..=LONGEST).contains(&seconds) {
        return Err(serde::de::Error::custom(format!("{seconds} is not a time in seconds between 0 and {LONGEST}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn maybe_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_allowed_values() {
        GatewayConfig::default().check().expect("defaults work");
    }

    #[test]
    fn durations_are_seconds_and_may_have_a_fraction() {
        let config: GatewayConfig =
            toml::from_str("[stream]\nidle_timeout = 0.5\nmax_duration = 60\n[http]\nmax_connections = 5").unwrap();
        assert_eq!(config.stream.idle_timeout, Duration::from_millis(500));
        assert_eq!(config.stream.max_duration, Some(Duration::from_secs(60)));
        assert_eq!(config.stream.ping_interval, StreamLimits::default().ping_interval);
        assert_eq!(config.http.max_connections, 5);
    }

    #[test]
    fn a_wrong_value_is_named() {
        let check = |text: &str, named: &str| {
            let problem = match toml::from_str::<GatewayConfig>(text) {
                Ok(config) => config.check().expect_err(text).to_string(),
                Err(error) => error.to_string(),
            };
            assert!(problem.contains(named), "{text}: {problem}");
        };
        check("[stream]\nidle_timeout = -1", "idle_timeout");
        check("[stream]\nidle_timeout = nan", "idle_timeout");
        check("[stream]\nidle_timeout = 0", "stream.idle_timeout");
        check("[stream]\nidle = 1", "idle");
        check("[http]\nmax_connections = 0", "http.max_connections");
    }
}
