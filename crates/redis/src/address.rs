//! Where Redis is: one server, a primary that Sentinels know, or a cluster.

use redis::{
    Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsMode,
    cluster::ClusterClient,
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use socket2::TcpKeepalive;
use std::time::Duration;

use crate::{RedisError, Settings};

/// An address, and what it takes to connect there.
pub(crate) struct Address {
    pub(crate) place: Place,
    /// The first host, for spans: never user or password.
    pub(crate) host: String,
    pub(crate) port: u16,
}

pub(crate) enum Place {
    Server(Box<Client>),
    /// It remembers its connections to the Sentinels and so wants to be asked by one at a time.
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
    Cluster {
        cluster: Box<ClusterClient>,
        nodes: Vec<Client>,
    },
}

impl Address {
    /// [`Redis::open`](crate::Redis::open) lists the forms.
    pub(crate) fn parse(url: &str, settings: &Settings) -> Result<Self, RedisError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| not("it has no scheme"))?;
        let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        match (plain, kind) {
            ("redis" | "rediss", "sentinel") => Self::sentinel(plain, rest),
            ("redis" | "rediss", "cluster") => {
                let (user, hosts) = split_user(rest);
                let hosts = hosts.trim_end_matches('/');
                Self::cluster(hosts.split(',').map(|host| format!("{plain}://{user}{host}")), settings)
            }
            ("redis" | "rediss", "") if url.contains(',') => Self::cluster(url.split(',').map(str::to_owned), settings),
            ("redis" | "rediss" | "unix", "") | ("redis", "unix") => {
                let info = read(url)?;
                let (host, port) = shown(&info);
                Ok(Self { place: Place::Server(Box::new(Client::open(info).map_err(refused)?)), host, port })
            }
            _ => Err(not("its scheme is unknown")),
        }
    }

    fn sentinel(plain: &str, rest: &str) -> Result<Self, RedisError> {
        const PORT: u16 = 26379;
        let (user, rest) = split_user(rest);
        let mut path = rest.split('/');
        let hosts = path.next().unwrap_or_default();
        let service =
            path.next().filter(|name| !name.is_empty()).ok_or_else(|| not("the service's name is missing"))?;
        let database = path.next().unwrap_or_default();
        // Whoever has a password has it for Redis; the port of a Sentinel is another than a server's.
        let sentinels = hosts.split(',').map(|host| {
            let port = if has_port(host) { String::new() } else { format!(":{PORT}") };
            read(&format!("{plain}://{host}{port}"))
        });
        let sentinels = sentinels.collect::<Result<Vec<_>, _>>()?;
        let account = read(&format!("{plain}://{user}service/{database}"))?;
        let account = account.redis_settings();
        let (host, port) = sentinels.first().map(shown).ok_or_else(|| not("it names no host"))?;
        let addresses = sentinels.iter().map(|info| info.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)
            .map_err(refused)?
            .set_client_to_redis_db(account.db())
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if plain == "rediss" {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        if let Some(name) = account.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = account.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        let client = builder.build().map_err(refused)?;
        Ok(Self { place: Place::Sentinel(Box::new(tokio::sync::Mutex::new(client))), host, port })
    }

    fn cluster(nodes: impl Iterator<Item = String>, settings: &Settings) -> Result<Self, RedisError> {
        let nodes = nodes.map(|url| read(&url)).collect::<Result<Vec<_>, _>>()?;
        let (host, port) = nodes.first().map(shown).ok_or_else(|| not("it names no host"))?;
        let cluster = ClusterClient::builder(nodes.clone())
            .connection_timeout(settings.connect)
            .response_timeout(settings.answer)
            .overall_response_timeout(Some(settings.answer))
            .retries(3)
            .tcp_settings(tcp())
            .build()
            .map_err(refused)?;
        let nodes = nodes.into_iter().map(Client::open).collect::<Result<_, _>>().map_err(refused)?;
        Ok(Self { place: Place::Cluster { cluster: Box::new(cluster), nodes }, host, port })
    }
}

fn read(url: &str) -> Result<ConnectionInfo, RedisError> {
    let info = url.into_connection_info().map_err(refused)?;
    // Version 2 on every connection: nothing here needs what 3 adds.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp()))
}

/// A peer that has vanished without a word is noticed within half a minute, also by who only listens.
fn tcp() -> TcpSettings {
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(10)).with_interval(Duration::from_secs(5)).with_retries(3);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

fn shown(info: &ConnectionInfo) -> (String, u16) {
    match info.addr() {
        redis::ConnectionAddr::Tcp(host, port) | redis::ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        _ => ("localhost".to_owned(), 0),
    }
}

/// `user:password@` and what follows.
fn split_user(rest: &str) -> (&str, &str) {
    rest.rfind('@').map_or(("", rest), |at| rest.split_at(at + 1))
}

fn has_port(host: &str) -> bool {
    // What is left of an IPv6 literal behind its bracket.
    host.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

fn not(reason: &str) -> RedisError {
    RedisError::NotAnAddress(reason.to_owned())
}

/// Without what the library says: it may repeat a password.
fn refused(_: redis::RedisError) -> RedisError {
    not("a part of it cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, RedisError> {
        Address::parse(url, &Settings::default())
    }

    #[test]
    fn every_form_of_an_address_is_understood() {
        let server = parse("redis://user:secret@cache.example:6380/2").unwrap();
        assert!(matches!(server.place, Place::Server(_)));
        assert_eq!((server.host.as_str(), server.port), ("cache.example", 6380));
        assert!(matches!(parse("rediss://cache.example").unwrap().place, Place::Server(_)));
        assert!(matches!(parse("redis+unix:///run/redis.sock").unwrap().place, Place::Server(_)));
        let sentinel = parse("redis+sentinel://:p%40ss@one,two:26380/dalston/1").unwrap();
        assert!(matches!(sentinel.place, Place::Sentinel(_)));
        assert_eq!((sentinel.host.as_str(), sentinel.port), ("one", 26379));
        for cluster in ["redis+cluster://u:p@one:7000,two:7001", "redis://one:7000,redis://two:7001"] {
            let Place::Cluster { nodes, .. } = parse(cluster).unwrap().place else { panic!("{cluster}") };
            assert_eq!(nodes.len(), 2, "{cluster}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "redis",
            "http://secret@x",
            "redis+sentinel://:secret@one:26379",
            "redis://:secret@x:notaport",
            "redis+cluster://",
        ] {
            let Err(error) = parse(url) else { panic!("{url} is accepted") };
            assert!(matches!(error, RedisError::NotAnAddress(_)), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
