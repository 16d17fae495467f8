//! What an operator may set of outgoing requests.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer};
use url::Host;

use crate::network::Network;

/// How outgoing requests are made. In TOML, durations are seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Hosts and networks that may be reached though they are not public: `media.intern`, `10.20.0.0/16`, `::1`. None.
    pub allow: Vec<Allowed>,
    /// Whether `http://` may be asked for, which anybody on the way can read: true.
    pub plain_http: bool,
    /// Longest wait for a connection, its TLS included: 10 s.
    #[serde(deserialize_with = "seconds")]
    pub connect_timeout: Duration,
    /// Longest silence of a server: 30 s.
    #[serde(deserialize_with = "seconds")]
    pub idle_timeout: Duration,
    /// A PEM file with certificates to trust besides those of the machine. None.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            plain_http: true,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            ca_file: None,
        }
    }
}

/// What may be reached though it is not public.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Allowed {
    /// Whatever this name means, asked for by this name.
    Host(String),
    /// These addresses, by whatever name.
    Network(Network),
}

impl Allowed {
    pub(crate) fn covers(&self, host: &Host<String>, address: IpAddr) -> bool {
        match (self, host) {
            (Self::Network(network), _) => network.contains(address),
            (Self::Host(allowed), Host::Domain(name)) => name.trim_end_matches('.') == allowed,
            (Self::Host(_), _) => false,
        }
    }
}

/// Neither a host's name, nor an address, nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host, address or network; allowed are such as media.example, 10.0.0.7, 10.0.0.0/8 or fd00::/8")]
pub struct InvalidAllowed(String);

impl FromStr for Allowed {
    type Err = InvalidAllowed;

    fn from_str(text: &str) -> Result<Self, InvalidAllowed> {
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(Network::of(address)));
        }
        match Host::parse(text) {
            Ok(Host::Domain(name)) => Ok(Self::Host(name.trim_end_matches('.').to_owned())),
            _ => Err(InvalidAllowed(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Allowed {
    type Error = InvalidAllowed;

    fn try_from(text: String) -> Result<Self, InvalidAllowed> {
        text.parse()
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Network(network) => network.fmt(f),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| serde::de::Error::custom(format!("{seconds} is no number of seconds greater than 0")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_allowed_by_its_name_and_a_network_by_its_addresses() {
        let check = |allowed: &str, host: &str, address: &str, expected: bool| {
            let covers =
                allowed.parse::<Allowed>().unwrap().covers(&Host::parse(host).unwrap(), address.parse().unwrap());
            assert_eq!(covers, expected, "{allowed} for {host} at {address}");
        };
        check("Media.Intern", "media.intern", "10.0.0.1", true);
        check("media.intern", "media.intern.", "10.0.0.1", true);
        check("media.intern", "evil.media.intern", "10.0.0.1", false);
        check("media.intern", "10.0.0.1", "10.0.0.1", false);
        check("10.0.0.0/8", "whatever.example", "10.0.0.1", true);
        check("10.0.0.0/8", "whatever.example", "::ffff:10.0.0.1", true);
        check("10.0.0.0/8", "whatever.example", "127.0.0.1", false);
        check("::1", "[::1]", "::1", true);
        check("127.0.0.1", "127.0.0.1", "127.0.0.2", false);
    }

    #[test]
    fn settings_are_read_and_what_is_wrong_is_named() {
        let settings: Settings = toml::from_str("allow = ['10.0.0.0/8', 'media.intern']\nidle_timeout = 0.5").unwrap();
        assert_eq!(settings.allow.len(), 2);
        assert_eq!(settings.idle_timeout, Duration::from_millis(500));
        for (wrong, about) in [("allow = ['a b']", "`a b`"), ("connect_timeout = 0", "greater than 0")] {
            let error = toml::from_str::<Settings>(wrong).unwrap_err().to_string();
            assert!(error.contains(about), "{error}");
        }
    }
}
